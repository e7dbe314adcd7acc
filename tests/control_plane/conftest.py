from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import profiles

from control_plane import passwords
from tests.control_plane.support import Person, Running, in_process, running, settings_for


@pytest.fixture(autouse=True)
def cheap_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every test signs somebody up."""
    monkeypatch.setattr(passwords, "PARAMETERS", profiles.CHEAPEST)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Running]:
    """The control plane, asked without a socket."""
    async with in_process(settings_for(tmp_path)) as control:
        yield control


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    """The control plane behind a real server."""
    async with running(settings_for(tmp_path)) as control:
        yield control


@pytest.fixture
async def ann(here: Running) -> Person:
    return await here.sign_up("ann")


@pytest.fixture
async def bob(here: Running) -> Person:
    return await here.sign_up("bob")
