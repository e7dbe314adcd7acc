"""`chorale serve` as an operator runs it: its own process, on loopback, with a data directory that is thrown away."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

import httpx

START_TIMEOUT = 30  # seconds; it takes about one
STOP_TIMEOUT = 10

SETTINGS = {
    "CHORALE_HOST": "127.0.0.1",
    "CHORALE_PORT": "0",
    "CHORALE_MEDIA_ADDRESSES": "127.0.0.1",
    # Everyone in these tests comes from one address.
    "CHORALE_LIMIT_ACCOUNTS": "1000/1",
    "CHORALE_LIMIT_INVITES": "1000/1",
}


@dataclass(frozen=True)
class Server:
    """A running `chorale serve`. `url` is its origin, without a slash at the end."""

    url: str
    process: subprocess.Popen[str]
    log: list[str]

    def counters(self) -> dict[str, int]:
        """The media engine's counters, as an operator on the same machine may read them."""
        answer = httpx.get(f"{self.url}/media/stats")
        answer.raise_for_status()
        return {name: int(value) for name, value in answer.json().items()}


@contextmanager
def serve(data: Path, settings: dict[str, str] | None = None) -> Iterator[Server]:
    """Start it, wait until it answers, and stop it as Ctrl-C would; a stop that is not clean raises AssertionError."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHORALE_")}
    environment |= SETTINGS | {"CHORALE_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | (settings or {})
    process = subprocess.Popen(
        [sys.executable, "-m", "chorale", "serve"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log: list[str] = []
    lines: Queue[str | None] = Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield Server(_ready(lines, log), process, log)
        assert process.poll() is None, f"it ended by itself:\n{''.join(log)}"
        process.terminate()
        assert process.wait(STOP_TIMEOUT) in (0, -15), "".join(log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(STOP_TIMEOUT)


def _ready(lines: Queue[str | None], log: list[str]) -> str:
    """The address it printed, once that address answers."""
    while True:
        try:
            line = lines.get(timeout=START_TIMEOUT)
        except Empty:
            raise AssertionError(f"no address printed within {START_TIMEOUT} s:\n{''.join(log)}") from None
        assert line is not None, f"it did not start:\n{''.join(log)}"
        if found := re.search(r"https?://[0-9.]+:\d+", line):
            transport = httpx.HTTPTransport(retries=5)  # the line may come a moment before the socket
            with httpx.Client(transport=transport) as client:
                client.get(f"{found[0]}/health").raise_for_status()
            return found[0]
