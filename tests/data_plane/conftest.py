from collections.abc import AsyncIterator

import pytest

from tests.data_plane.support import Running, running


@pytest.fixture
async def here() -> AsyncIterator[Running]:
    """A media node on loopback."""
    async with running() as node:
        yield node
