from collections.abc import AsyncIterator

import httpx
import pytest

from tests.data_plane.support import Running, running
from tests.data_plane.whip_support import Keys


@pytest.fixture
async def here() -> AsyncIterator[Running]:
    """A media node on loopback."""
    async with running() as node:
        yield node


@pytest.fixture
def keys(here: Running) -> Keys:
    keys = Keys()
    here.control.serve(keys.authorize)
    return keys


@pytest.fixture
async def http(here: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=here.http, trust_env=False) as client:
        yield client
