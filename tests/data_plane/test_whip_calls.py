"""Encoders and players of different kinds in one room, with a client of the WebSocket."""

from pathlib import Path
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest

from native import rtp
from proto.media import Claims, EndSession, SessionEnded, SessionStarted
from proto.signalling import Arrived, Departed
from tests.clients import opus
from tests.clients.aiortc_client import AiortcClient, loudest_frequency, rms, tone
from tests.clients.whip_client import aiortc_session, datachannel_session
from tests.data_plane.support import GAUGES, Running, claims, sign

FREE = dict.fromkeys(GAUGES, 0)
SETTLING = 0.5  # seconds in which a jitter buffer fills


def packets(frequency: float, seconds: int = 20) -> list[bytes]:
    return opus.packetize(opus.encode(np.tile(tone(frequency), seconds)), ssrc=0xC0FFEE)


def grant(here: Running, room: UUID) -> tuple[str, Claims]:
    admitted = claims(room=room)
    return sign(admitted, here.key), admitted


@pytest.fixture
def room() -> UUID:
    return uuid4()


@pytest.mark.parametrize("video", [False, True], ids=["audio", "audio-and-video-as-OBS-offers"])
async def test_a_player_on_aiortc_hears_an_encoder_on_libdatachannel(
    here: Running, room: UUID, tmp_path: Path, video: bool
) -> None:
    whip, whep = f"{here.http}/whip/{room}", f"{here.http}/whep/{room}"
    token, _ = grant(here, room)
    async with datachannel_session(whip, token, tmp_path, packets=packets(440), video=video) as encoder:
        player_token, _ = grant(here, room)
        async with aiortc_session(whep, player_token) as player:
            await player.ears[0].listen(SETTLING)
            heard = await player.ears[0].listen(1)
        await encoder.delete()
        assert encoder.deleted["status"] == 200
    assert loudest_frequency(heard) == pytest.approx(440, abs=5)
    assert rms(heard) > 0.1
    assert await here.freed() == FREE


async def test_a_player_on_libdatachannel_hears_an_encoder_on_aiortc(here: Running, room: UUID, tmp_path: Path) -> None:
    token, admitted = grant(here, room)
    async with aiortc_session(f"{here.http}/whip/{room}", token, microphone=tone(1000)):
        assert (await here.reported(SessionStarted)).session_id == admitted.sid
        async with (
            AiortcClient(here.url, here.admission(room=room)) as witness,
            datachannel_session(f"{here.http}/whep/{room}", grant(here, room)[0], tmp_path) as player,
        ):
            (csrc,) = [each.csrc for each in witness.joined.participants if each.session_id == admitted.sid]
            await witness.listen(await witness.slot_of(csrc), 2)
            await player.delete()
    heard = opus.decode([each for each in player.received if csrc in rtp.parse(each)[0].csrcs])
    assert loudest_frequency(heard[len(heard) // 2 :]) == pytest.approx(1000, abs=5)


async def test_a_player_with_several_lines_hears_several_people(here: Running, room: UUID) -> None:
    whip, whep = f"{here.http}/whip/{room}", f"{here.http}/whep/{room}"
    async with (
        aiortc_session(whip, grant(here, room)[0], microphone=tone(440)),
        aiortc_session(whip, grant(here, room)[0], microphone=tone(1000)),
        aiortc_session(whep, grant(here, room)[0], lines=2) as player,
    ):
        pitches = set()
        for ear in player.ears:
            await ear.listen(SETTLING)
            pitches.add(round(loudest_frequency(await ear.listen(1)), -1))
    assert pitches == {440, 1000}


async def test_others_see_an_encoder_come_and_go_and_hear_it(here: Running, room: UUID) -> None:
    async with AiortcClient(here.url, here.admission(room=room)) as ada:
        token, admitted = grant(here, room)
        async with aiortc_session(f"{here.http}/whip/{room}", token, microphone=tone(600)):
            arrived = (await ada.told(Arrived)).participant
            assert (arrived.session_id, arrived.user_id) == (admitted.sid, admitted.sub)
            slot = await ada.slot_of(arrived.csrc)
            await ada.listen(slot, SETTLING)
            assert loudest_frequency(await ada.listen(slot, 1)) == pytest.approx(600, abs=5)
        assert (await ada.told(Departed)).session_id == admitted.sid
    assert await here.freed() == FREE


async def test_a_session_whose_transport_closes_is_over(here: Running, room: UUID) -> None:
    token, admitted = grant(here, room)
    async with aiortc_session(f"{here.http}/whip/{room}", token, microphone=tone(600)) as encoder:
        await here.reported(SessionStarted)
        await encoder.connection.close()
        assert await here.reported(SessionEnded) == SessionEnded(admitted.sid, "lost")
        async with httpx.AsyncClient(trust_env=False) as http:
            gone = await http.delete(encoder.url, headers={"Authorization": f"Bearer {token}"})
        assert gone.status_code == 404


async def test_the_control_plane_ends_an_encoder(here: Running, room: UUID) -> None:
    token, admitted = grant(here, room)
    async with aiortc_session(f"{here.http}/whip/{room}", token, microphone=tone(600)):
        await here.reported(SessionStarted)
        await here.control.send(EndSession(admitted.sid, "removed"))
        assert await here.reported(SessionEnded) == SessionEnded(admitted.sid, "removed")
        assert await here.freed() == FREE
