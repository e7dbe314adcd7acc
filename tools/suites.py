"""Run the test suites one after another, all of them whatever fails, and say at the end what each took: `make test`.

python tools/suites.py [SUITE…] runs the named ones. The exit status is 1 when a suite failed.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "native"
LIMIT = 30 * 60  # seconds for one command: none takes a third of it, so one that does hangs

PYTHON = [sys.executable]
PYTEST = [*PYTHON, "-m", "pytest", "-q"]
STUBTEST = [
    *PYTHON,
    "-m",
    "mypy.stubtest",
    "--mypy-config-file",
    "pyproject.toml",
    "--allowlist",
    "tools/stubtest.allow",
]


def cargo(*words: str, python: bool = False) -> list[str]:
    """A cargo command over the whole workspace; OpenSSL is the machine's where it has one."""
    features = ["engine/python"] if python else []
    if subprocess.run(["pkg-config", "--exists", "openssl"], check=False, capture_output=True).returncode:
        features.append("engine/vendored-openssl")
    before, _, after = " ".join(words).partition(" -- ")
    chosen = ["--features", ",".join(features)] if features else []
    return ["cargo", *before.split(), "--locked", "--workspace", *chosen, *(["--", *after.split()] if after else [])]


@dataclass(frozen=True)
class Command:
    words: list[str]
    folder: Path = ROOT


@dataclass(frozen=True)
class Suite:
    name: str
    commands: list[Command]


def suites() -> list[Suite]:
    binaries = str(Path(sys.executable).parent)
    return [
        Suite(
            "lint",
            [
                Command([*PYTHON, "-m", "ruff", "check", "--quiet", "."]),
                Command([*PYTHON, "-m", "ruff", "format", "--quiet", "--check", "."]),
                Command([*PYTHON, "-m", "mypy"]),
                Command([f"{binaries}/lint-imports", "--no-logo"]),
                Command([*STUBTEST, "native.rtp", "chorale_engine"]),
                Command(["cargo", "fmt", "--all", "--check"], NATIVE),
                Command(cargo("clippy --quiet --all-targets -- -D warnings", python=True), NATIVE),
            ],
        ),
        Suite("rust", [Command(cargo("test --quiet"), NATIVE)]),
        Suite("python", [Command([*PYTEST, "tests", "--ignore=tests/end_to_end", "--ignore=tests/benchmarks"])]),
        Suite("end_to_end", [Command([*PYTEST, "tests/end_to_end"])]),
        Suite("sanitize", [Command(["bash", "sanitize.sh"], NATIVE)]),
        Suite("fuzz", [Command(["bash", "fuzz/run.sh"], NATIVE)]),
        Suite("bench", [Command([*PYTHON, "tools/bench.py", "--quick"])]),
    ]


def run(command: Command) -> bool:
    print(f"\n$ {' '.join(command.words).replace(f'{ROOT}/', '')}", flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        # A group of its own: what hangs is stopped with everything it started.
        with subprocess.Popen(
            command.words, cwd=command.folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                return process.wait(LIMIT) == 0
            except BaseException as interruption:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(interruption, subprocess.TimeoutExpired):
                    print(f"stopped after {LIMIT} s")
                    return False
                raise
    except FileNotFoundError as error:
        print(f"{error.filename} is not there")
        return False


def main(names: list[str]) -> int:
    chosen = [suite for suite in suites() if not names or suite.name in names]
    if unknown := set(names) - {suite.name for suite in chosen}:
        print(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(suite.name for suite in suites())}")
        return 2
    results: list[tuple[str, list[str], float]] = []
    for suite in chosen:
        print(f"\n=== {suite.name} ===", flush=True)
        start = time.monotonic()
        failed = [command.words for command in suite.commands if not run(command)]
        results.append(
            (suite.name, [" ".join(words).replace(f"{ROOT}/", "") for words in failed], time.monotonic() - start)
        )
    print("\nsuite          seconds")
    for name, failed_commands, seconds in results:
        print(f"{name:<12}{seconds:>10.1f}  {'FAILED' if failed_commands else 'passed'}")
        for command_line in failed_commands:
            print(f"{'':24}{command_line}")
    failures = sum(bool(failed_commands) for _, failed_commands, _ in results)
    print(f"\n{len(results) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
