"""The load client and our own node, by WHIP and WHEP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.clients import opus
from tests.clients.aiortc_client import RATE, loudest_frequency, rms, tone
from tests.clients.whip_client import aiortc_session
from tests.data_plane.support import GAUGES, Running, claims, running, sign
from tests.swarm.conftest import BUILD, Programs
from tests.swarm.dump import opened
from tests.swarm.program import likeness, run, speech

pytestmark = pytest.mark.timeout(BUILD + 120)

PITCH = 440.0  # Hz
FREE = dict.fromkeys(GAUGES, 0)


class Room:
    """A channel of a node, and grants for it."""

    def __init__(self, here: Running, folder: Path) -> None:
        self.here, self._id, self._folder = here, uuid4(), folder
        self.whip, self.whep = (f"{here.http}/{way}/{self._id}" for way in ("whip", "whep"))

    def grant(self) -> str:
        return sign(claims(room=self._id), self.here.key)

    def grants(self, count: int) -> Path:
        """A file for `--bearers`: a grant lets in once."""
        file = self._folder / "grants"
        file.write_text("\n".join(self.grant() for _ in range(count)))
        return file


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with running() as here:
        yield Room(here, tmp_path)


async def test_a_room_of_publishers_and_players_loses_nothing_and_leaves_nothing(
    programs: Programs, room: Room
) -> None:
    words = ("--publishers", "4", "--players", "3", "--talkers", "2", "--turn", "1", "--slots", "2", "--seconds", "5")
    report = await run(programs, "--whip", room.whip, "--whep", room.whep, "--bearers", room.grants(7), *words)
    assert (report["publishers"]["joined"], report["players"]["joined"]) == (4, 3)
    assert report["lost"] == report["duplicates"] == report["refused"] == report["unannounced"] == 0
    assert report["sources_heard"] == {"fewest": 4, "most": 4}
    assert report["delay_ms"]["count"] > 100
    assert await room.here.freed() == FREE


async def test_a_player_on_aiortc_hears_what_a_swarm_says(programs: Programs, room: Room) -> None:
    load = asyncio.create_task(run(programs, "--whip", room.whip, "--bearer", room.grant(), "--seconds", "4"))
    async with aiortc_session(room.whep, room.grant()) as player:
        heard = await player.ears[0].listen(3)
    await load
    assert likeness(heard, speech(2)) > 0.9


async def test_what_a_swarm_receives_is_opened_by_libsrtp_and_is_what_aiortc_said(
    programs: Programs, room: Room, tmp_path: Path
) -> None:
    file = tmp_path / "dump.jsonl"
    async with aiortc_session(room.whip, room.grant(), microphone=tone(PITCH)):
        words = ("--seconds", "2", "--dump", file)
        report = await run(programs, "--whep", room.whep, "--bearer", room.grant(), *words)
    dump = opened(file)
    assert len(dump.packets) == report["packets_received"] > 80
    heard = opus.decode(dump.packets)[: RATE * 2]
    assert rms(heard) > 0.1
    assert abs(loudest_frequency(heard) - PITCH) < 5
