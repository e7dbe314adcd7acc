import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.end_to_end.server import Server, serve
from tests.end_to_end.speech import SCRIPT, Voice, speak

expect.set_options(timeout=15_000)  # several browsers share the machine


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Voice]:
    """Three speakers by name: ada, grace, alan."""
    folder = tmp_path_factory.mktemp("voices")
    return {name: speak(name, folder) for name in SCRIPT}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def empty_page(tmp_path: Path) -> Iterator[str]:
    """The address of a page with nothing on it; on this machine, so that the microphone may be used."""
    (tmp_path / "index.html").write_text('<!doctype html><link rel="icon" href="data:,"><title>empty</title>')
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def chorale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One `chorale serve` for all tests: people, servers and rooms are new in each."""
    with serve(tmp_path_factory.mktemp("data")) as server:
        yield server
