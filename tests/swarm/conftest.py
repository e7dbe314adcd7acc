"""The programs of native/swarm, built when they are not."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"
BUILD = 900  # seconds: OpenSSL may have to be built too


@dataclass(frozen=True)
class Programs:
    swarm: Path
    loopback: Path


@pytest.fixture(scope="session")
def programs() -> Programs:
    words = ["cargo", "build", "--quiet", "--locked", "-p", "swarm", "--bin", "swarm", "--example", "loopback"]
    if subprocess.run(["pkg-config", "--exists", "openssl"], check=False, capture_output=True).returncode:
        words += ["--features", "vendored-openssl"]
    subprocess.run(words, cwd=NATIVE, check=True, stdin=subprocess.DEVNULL, timeout=BUILD)
    folder = NATIVE / "target" / "debug"
    return Programs(folder / "swarm", folder / "examples" / "loopback")
