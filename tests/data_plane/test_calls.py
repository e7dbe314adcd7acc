"""Calls between aiortc clients through the real node: WebSocket, ICE, DTLS, SRTP."""

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from scipy.io import wavfile

from proto.media import EndSession, SessionChanged, SessionEnded, SessionStarted
from proto.signalling import AUDIO_SLOTS, Arrived, Changed, Departed, Ended
from tests.clients.aiortc_client import RATE, AiortcClient, heard, loudest_frequency, rms, tone
from tests.data_plane.support import GAUGES, Running

FREE = dict.fromkeys(GAUGES, 0)


@pytest.mark.parametrize("sendrecv", [False, True], ids=["a-line-each", "one-line-for-both"])
async def test_two_people_hear_each_other_and_not_themselves(here: Running, sendrecv: bool) -> None:
    room = uuid4()
    one, two = here.admission(room=room), here.admission(room=room)
    async with (
        AiortcClient(here.url, one, microphone=tone(440), sendrecv=sendrecv) as ada,
        AiortcClient(here.url, two, microphone=tone(1000), sendrecv=sendrecv) as bob,
    ):
        assert ada.joined.csrc != bob.joined.csrc
        for listener, speaker, frequency in ((ada, bob, 1000), (bob, ada, 440)):
            sound = await heard(listener, speaker)
            assert loudest_frequency(sound) == pytest.approx(frequency, abs=5)
            assert rms(sound) > 0.1
            assert listener.joined.csrc not in {slot.csrc for slot in listener.slots.values()}
    assert await here.freed() == FREE


async def test_rooms_do_not_hear_each_other(here: Running) -> None:
    async with (
        AiortcClient(here.url, here.admission(), microphone=tone(440)),
        AiortcClient(here.url, room := here.admission(), microphone=tone(1000)) as bob,
        AiortcClient(here.url, here.admission(room=uuid4())) as eve,
    ):
        assert [each.session_id for each in bob.joined.participants] == [room.session_id]
        assert (bob.slots, eve.slots) == ({}, {})
        assert here.node.counters()["rooms"] == 3


async def test_everybody_is_told_who_comes_is_muted_and_goes(here: Running) -> None:
    room, first, second = uuid4(), uuid4(), uuid4()
    ada_admission, bob_admission = here.admission(room=room, sub=first), here.admission(room=room, sub=second)
    async with AiortcClient(here.url, ada_admission, microphone=tone(440)) as ada:
        started = await here.reported(SessionStarted)
        assert started == SessionStarted(ada_admission.session_id, room, first, muted=False)
        async with AiortcClient(here.url, bob_admission, microphone=tone(1000)) as bob:
            assert {each.user_id for each in bob.joined.participants} == {first, second}
            arrived = (await ada.told(Arrived)).participant
            assert (arrived.user_id, arrived.csrc, arrived.muted) == (second, bob.joined.csrc, False)
            assert (await here.reported(SessionStarted)).user_id == second

            await bob.mute(True)
            assert (await ada.told(Changed)).participant.muted
            assert await here.reported(SessionChanged) == SessionChanged(bob_admission.session_id, muted=True)
            assert await bob.leave() == Ended("left")
        assert (await ada.told(Departed)).session_id == bob_admission.session_id
        assert await here.reported(SessionEnded) == SessionEnded(bob_admission.session_id, "left")
    assert await here.freed() == FREE


async def test_a_muted_microphone_is_heard_by_nobody_until_it_is_open_again(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room)) as bob,
    ):
        assert rms(await heard(bob, ada)) > 0.1
        await ada.mute(True)
        await bob.free_of(ada.joined.csrc)
        dropped = here.node.counters()["drop_muted"]
        await ada.mute(False)
        assert loudest_frequency(await heard(bob, ada)) == pytest.approx(440, abs=5)
        assert here.node.counters()["drop_muted"] >= dropped


async def test_more_slots_than_the_node_has_are_answered_inactive(here: Running) -> None:
    async with AiortcClient(here.url, here.admission(), microphone=tone(440), slots=AUDIO_SLOTS + 2) as ada:
        directions = [each.currentDirection for each in ada.transport.connection.getTransceivers()]
        assert directions == ["sendonly", *["recvonly"] * AUDIO_SLOTS, *["inactive"] * 2]


async def test_a_client_may_only_listen(here: Running, tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    wavfile.write(speech, RATE, (tone(600) * 32767).astype(np.int16))
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=speech) as ada,
        AiortcClient(here.url, here.admission(room=room), slots=1) as bob,
    ):
        assert loudest_frequency(await heard(bob, ada)) == pytest.approx(600, abs=5)
        assert here.node.counters()["sources"] == 1
    assert await here.freed() == FREE


async def test_the_control_plane_can_end_a_stay(here: Running) -> None:
    admission = here.admission()
    async with AiortcClient(here.url, admission, microphone=tone(440)) as ada:
        await here.reported(SessionStarted)
        await here.control.send(EndSession(admission.session_id, "removed"))
        assert await ada.told(Ended) == Ended("removed")
        assert await here.reported(SessionEnded) == SessionEnded(admission.session_id, "removed")
        assert await here.freed() == FREE


async def test_a_node_that_stops_says_so_to_everybody(here: Running) -> None:
    admission = here.admission()
    async with AiortcClient(here.url, admission, microphone=tone(440)) as ada:
        await here.reported(SessionStarted)
        here.server.should_exit = True
        assert await ada.told(Ended) == Ended("shutdown")
        assert await here.reported(SessionEnded) == SessionEnded(admission.session_id, "shutdown")
        with pytest.raises(StopAsyncIteration):
            await here.reported(SessionEnded)
