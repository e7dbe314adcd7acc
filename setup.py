"""Builds the Cython modules of `native/`. Everything else about the package stands in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent

MODULES = [
    Extension(f"native.{path.stem}", [str(path.relative_to(ROOT))], extra_compile_args=["-O3", "-Wall"])
    for path in sorted((ROOT / "native").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        MODULES,
        # Bounds stay checked: a module that has proven an index says so where it uses it.
        compiler_directives={
            "language_level": 3,
            "boundscheck": True,
            "wraparound": False,
            "initializedcheck": True,
            "cdivision": False,
            "auto_pickle": False,
            "freethreading_compatible": True,
        },
    )
)
