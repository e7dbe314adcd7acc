"""Two networks with a path between them that can be made bad: this process and the server in one, a browser in the
other. `tools/netem.py` carries the packets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.browser import executable
from tools.netem import ADDRESSES, enter

NETEM = Path(__file__).parents[2] / "tools" / "netem.py"
HERE, _ = ADDRESSES


@dataclass(frozen=True)
class Network:
    """`browser`: a program that is Chromium in the other network."""

    browser: Path
    _netem: "subprocess.Popen[str]"

    def limit(self, rate: int) -> None:
        """Of the path between, in kb/s each way; 0: none."""
        assert self._netem.stdin is not None
        self._netem.stdin.write(f"rate-kbps {rate}\n")
        self._netem.stdin.flush()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network(folder: Path, *, delay: int = 20) -> Iterator[Network]:
    """`delay`: of the path between, in milliseconds each way. Meanwhile what this process opens and starts is in a
    network where nothing is but this. Raises RuntimeError where that is not possible."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        raise RuntimeError("these tests make networks: they need root and /dev/net/tun")
    near, far = (f"chorale-{os.getpid()}-{side}" for side in ("near", "far"))
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    made: list[str] = []
    netem = None
    try:
        for name in (near, far):
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        command = [sys.executable, str(NETEM), near, far, "--delay", str(delay)]
        netem = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert netem.stdout is not None
        assert netem.stdout.readline() == "ready\n"
        program = folder / "chromium-far-away"
        program.write_text(f'#!/bin/sh\nexec ip netns exec {far} {executable()} "$@"\n')
        program.chmod(0o755)
        there = os.open(f"/run/netns/{near}", os.O_RDONLY)
        enter(there)
        os.close(there)
        yield Network(program, netem)
    finally:
        enter(home)
        os.close(home)
        if netem is not None:
            netem.terminate()
            netem.wait(10)
        for name in made:
            _ip("netns", "del", name)
