"""What members set for themselves and what is done to them, as it is heard: real clients on the real node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from proto.media import (
    DeafenSession,
    MediaCommand,
    MoveSession,
    MuteSession,
    SessionChanged,
    SessionMoved,
    SessionStarted,
)
from proto.signalling import Arrived, Changed, Departed, Moved, Speakers
from tests.clients.aiortc_client import AiortcClient, heard, loudest_frequency, rms, tone
from tests.data_plane.support import PATIENCE, Running

SILENCE = 0.01  # what an Opus decoder makes of nothing stays far below


@dataclass
class Pair:
    """Ada speaks at 440 Hz, Bob at 1000 Hz."""

    room: UUID
    ada: AiortcClient
    bob: AiortcClient


@pytest.fixture
async def pair(here: Running) -> AsyncIterator[Pair]:
    room = uuid4()
    async with AsyncExitStack() as stack:
        clients = []
        for frequency in (440, 1000):
            client = AiortcClient(here.url, here.admission(room=room), microphone=tone(frequency), slots=8)
            clients.append(await stack.enter_async_context(client))
            await here.reported(SessionStarted)
        pair = Pair(room, *clients)
        await asyncio.gather(hears(pair.ada, pair.bob, 1000), hears(pair.bob, pair.ada, 440))
        yield pair


async def hears(listener: AiortcClient, speaker: AiortcClient, frequency: float) -> None:
    sound = await heard(listener, speaker)
    assert loudest_frequency(sound) == pytest.approx(frequency, abs=5)
    assert rms(sound) > 0.1


async def is_silent(listener: AiortcClient) -> None:
    """Returns when for half a second nothing has come in any slot. Raises TimeoutError."""
    ears = list(listener.transport.ears.values())
    async with asyncio.timeout(PATIENCE):
        before = None
        while before != (before := [ear.received for ear in ears]):
            await asyncio.sleep(0.5)


async def order(here: Running, command: MediaCommand) -> SessionChanged:
    await here.control.send(command)
    return await here.reported(SessionChanged)


async def test_a_member_muted_by_the_server_is_heard_by_nobody_whatever_it_does(here: Running, pair: Pair) -> None:
    ada, bob = pair.ada, pair.bob
    session = ada.joined.session_id
    assert await order(here, MuteSession(session, True)) == SessionChanged(session, server_muted=True)
    for client in (ada, bob):
        assert (await client.told(Changed)).participant.server_muted
    await bob.free_of(ada.joined.csrc)
    await ada.mute(True)
    await ada.mute(False)
    assert await here.reported(SessionChanged) == SessionChanged(session, muted=True, server_muted=True)
    assert await here.reported(SessionChanged) == SessionChanged(session, server_muted=True)
    dropped = here.node.counters()["drop_muted"]
    await hears(ada, bob, 1000)
    assert here.node.counters()["drop_muted"] > dropped
    await bob.free_of(ada.joined.csrc)
    assert await order(here, MuteSession(session, False)) == SessionChanged(session)
    await hears(bob, ada, 440)


@pytest.mark.parametrize("by_server", [False, True], ids=["by-itself", "by-the-server"])
async def test_nothing_is_sent_to_a_deafened_member_and_it_is_heard_still(
    here: Running, pair: Pair, by_server: bool
) -> None:
    ada, bob = pair.ada, pair.bob
    session = ada.joined.session_id
    if by_server:
        changed = await order(here, DeafenSession(session, True))
        assert changed == SessionChanged(session, server_deafened=True)
        await ada.deafen(True)
        await here.reported(SessionChanged)
        await ada.deafen(False)  # which does not undo what the server did
        await here.reported(SessionChanged)
    else:
        await ada.deafen(True)
        assert await here.reported(SessionChanged) == SessionChanged(session, deafened=True)
    assert (await bob.told(Changed)).participant.csrc == ada.joined.csrc
    await is_silent(ada)
    await hears(bob, ada, 440)
    if by_server:
        await here.control.send(DeafenSession(session, False))
    else:
        await ada.deafen(False)
    await hears(ada, bob, 1000)


async def test_who_is_ignored_is_heard_by_the_others(here: Running, pair: Pair) -> None:
    ada, bob = pair.ada, pair.bob
    async with AiortcClient(here.url, here.admission(room=pair.room), slots=8) as eve:
        await ada.ignore(bob.joined.csrc, 1)
        await is_silent(ada)
        await hears(eve, bob, 1000)
        await hears(bob, ada, 440)
        assert not any(isinstance(each, Changed) for each in bob.frames), "nobody learns of it"
        await ada.ignore()
        await hears(ada, bob, 1000)


async def test_who_is_ignored_stays_so_on_a_new_transport(here: Running, pair: Pair) -> None:
    await pair.ada.ignore(pair.bob.joined.csrc)
    await pair.ada.renew()
    await hears(pair.bob, pair.ada, 440)
    assert all(ear.loudness < SILENCE for ear in pair.ada.transport.ears.values())


async def test_who_is_moved_is_heard_there_and_not_here_any_more(here: Running, pair: Pair) -> None:
    ada, bob, stage = pair.ada, pair.bob, uuid4()
    async with AiortcClient(here.url, here.admission(room=stage), microphone=tone(600), slots=8) as eve:
        await here.reported(SessionStarted)
        await here.control.send(MoveSession(bob.joined.session_id, stage))
        assert await here.reported(SessionMoved) == SessionMoved(bob.joined.session_id, stage)
        assert (await ada.told(Departed)).session_id == bob.joined.session_id
        arrived = (await eve.told(Arrived)).participant
        assert (arrived.session_id, arrived.csrc) == (bob.joined.session_id, bob.joined.csrc)
        moved = await bob.told(Moved)
        assert moved.channel_id == stage
        assert [each.csrc for each in moved.participants] == [bob.joined.csrc, eve.joined.csrc]
        await hears(eve, bob, 1000)
        await hears(bob, eve, 600)
        await ada.free_of(bob.joined.csrc)
        await is_silent(ada)
        assert here.node.counters()["rooms"] == 2

        await here.control.send(MoveSession(bob.joined.session_id, pair.room))
        assert await here.reported(SessionMoved) == SessionMoved(bob.joined.session_id, pair.room)
        await hears(ada, bob, 1000)
        await hears(bob, ada, 440)


async def test_everybody_is_told_who_speaks(here: Running, pair: Pair) -> None:
    ada, bob = pair.ada, pair.bob
    both = {ada.joined.csrc, bob.joined.csrc}
    for client in (ada, bob):
        spoken = await client.told(Speakers, lambda each: set(each.speaking) == both)
        assert spoken.dominant in both
    count = len(ada.frames)
    await bob.mute(True)
    alone = await ada.told(Speakers, lambda each: each.speaking == [ada.joined.csrc], after=count)
    assert alone.dominant in (*both, None)
    async with AiortcClient(here.url, here.admission(room=pair.room), slots=8) as eve:
        assert (await eve.told(Speakers)).speaking == [ada.joined.csrc], "who comes is told at once"
        assert ada.joined.csrc in {each.csrc for each in eve.joined.slots}
