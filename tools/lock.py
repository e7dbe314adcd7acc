"""Resolve what the pyproject files ask for into hash-pinned requirements files: `make lock`.

    requirements.txt       what runs, and what builds the two packages
    requirements-dev.txt   that, and what the tests need
    requirements-uv.txt    uv, for machines that have none

Our own two packages are left out: they are built from this tree. The files name no index and no machine.
"""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = {"chorale", "chorale-engine"}
HEADER = "# Made by `make lock` from the pyproject files. Do not edit.\n"


def group(groups: dict[str, list[Any]], name: str) -> list[str]:
    """A dependency group with the groups it includes (PEP 735)."""
    found: list[str] = []
    for each in groups[name]:
        found += group(groups, each["include-group"]) if isinstance(each, dict) else [each]
    return found


def compile_into(file: str, wanted: list[str], *options: str) -> None:
    """Raises CalledProcessError when nothing satisfies what is wanted."""
    command = [
        "uv",
        "pip",
        "compile",
        "-",
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11", *options]
    resolved = subprocess.run(command, input="\n".join(wanted), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    (ROOT / file).write_text(HEADER + resolved.stdout)
    print(f"{file}: {resolved.stdout.count('==')} packages")


def main(options: list[str]) -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    engine = tomllib.loads((ROOT / "native/engine/pyproject.toml").read_text())
    wanted = [*root["project"]["dependencies"], *engine["project"].get("dependencies", [])]
    wanted = [each for each in wanted if each not in OURS]
    wanted += group(root["dependency-groups"], "build")
    compile_into("requirements.txt", wanted, *options)
    compile_into(
        "requirements-dev.txt", wanted + group(root["dependency-groups"], "dev"), "-c", "requirements.txt", *options
    )
    compile_into("requirements-uv.txt", ["uv"], *options)


if __name__ == "__main__":
    main(sys.argv[1:])
