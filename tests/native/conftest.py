from collections.abc import Iterator

import pytest
from chorale_engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(addresses=["127.0.0.1"])
    yield engine
    engine.close()
