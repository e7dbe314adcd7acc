"""Cameras and screens through the real engine, between clients on aiortc."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest

from proto.media import MuteSession, SessionChanged, SessionStarted
from proto.signalling import LOOKS_PER_WINDOW, Changed, Ended, Produce, Refused, Watch, Wish
from tests.clients.aiortc_client import Microphone, heard, loudest_frequency, tone
from tests.clients.aiortc_video import VideoClient, streaming
from tests.clients.picture import BLUE, GREEN, RED, YELLOW, Camera, Picture
from tests.data_plane.support import GAUGES, Running

FREE = dict.fromkeys(GAUGES, 0)
CAMERA, SCREEN = Picture(RED, BLUE), Picture(GREEN, YELLOW)


@pytest.fixture
def room() -> UUID:
    return uuid4()


@pytest.fixture
async def ada(here: Running, room: UUID) -> AsyncIterator[VideoClient]:
    async with VideoClient(
        here.url, here.admission(room=room), microphone=tone(440), camera=CAMERA, screen=SCREEN
    ) as ada:
        await here.reported(SessionStarted)
        yield ada


@pytest.fixture
async def bob(here: Running, room: UUID, ada: VideoClient) -> AsyncIterator[VideoClient]:
    async with VideoClient(here.url, here.admission(room=room)) as bob:
        await here.reported(SessionStarted)
        yield bob


async def test_a_camera_is_seen_once_it_is_shared_and_not_any_more_when_it_is_not(
    here: Running, ada: VideoClient, bob: VideoClient
) -> None:
    assert ada.joined.videos == []
    await ada.share("camera")
    assert await ada.told(Produce) == Produce("camera", "vp8", [True])
    assert (await here.reported(SessionChanged)).sources == ["camera"]
    changed = await bob.told(Changed)
    assert (changed.participant.csrc, changed.participant.sources) == (ada.joined.csrc, ["camera"])
    await bob.shown(ada.joined.csrc)
    await bob.eyes[0].sees(CAMERA)
    assert here.node.counters()["camera"] == 1
    await ada.share()
    await bob.shown(None)


async def test_a_client_sees_in_each_slot_what_it_asks_for(ada: VideoClient, bob: VideoClient) -> None:
    await ada.share("camera", "screen")
    camera, screen = ada.joined.csrc, ada.joined.screen_csrc
    await bob.wish(Wish(0, screen, 640), Wish(1, camera, 320))
    await bob.shown(screen, 0)
    await bob.eyes[0].sees(SCREEN)
    await bob.shown(camera, 1)
    await bob.eyes[1].sees(CAMERA)
    await bob.wish(Wish(0, camera, 640))
    await bob.shown(None, 1)
    await bob.shown(camera, 0)
    await bob.eyes[0].sees(CAMERA)


async def test_a_new_transport_goes_on_showing_and_seeing(ada: VideoClient, bob: VideoClient) -> None:
    await ada.share("camera")
    await bob.wish(Wish(1, ada.joined.csrc, 640))
    await bob.shown(ada.joined.csrc, 1)
    for each in (ada, bob):
        await each.renew()
        await bob.shown(ada.joined.csrc, 1)
        await bob.eyes[1].sees(CAMERA)


async def test_the_sound_of_a_screen_is_heard_beside_its_member_and_is_silenced_by_the_server_alone(
    here: Running, room: UUID
) -> None:
    async with (
        VideoClient(here.url, here.admission(room=room), microphone=tone(440), sound=tone(1000)) as ada,
        VideoClient(here.url, here.admission(room=room)) as bob,
    ):
        await ada.share("screen_audio")
        screen = ada.joined.screen_csrc
        assert loudest_frequency(await heard(bob, ada)) == pytest.approx(440, abs=5)
        assert loudest_frequency(await heard(bob, screen)) == pytest.approx(1000, abs=5)
        await ada.mute(True)
        await bob.free_of(ada.joined.csrc)
        assert loudest_frequency(await heard(bob, screen)) == pytest.approx(1000, abs=5)
        await here.control.send(MuteSession(ada.joined.session_id, True))
        await bob.free_of(screen)
        await here.control.send(MuteSession(ada.joined.session_id, False))
        assert loudest_frequency(await heard(bob, screen)) == pytest.approx(1000, abs=5)


async def test_who_is_muted_by_the_server_is_still_seen(here: Running, ada: VideoClient, bob: VideoClient) -> None:
    await ada.share("camera")
    await here.control.send(MuteSession(ada.joined.session_id, True))
    await bob.told(Changed, lambda each: each.participant.server_muted)
    bob.eyes[0].latest = None
    await bob.eyes[0].sees(CAMERA)


async def test_a_player_is_shown_what_an_encoder_sends(here: Running, room: UUID) -> None:
    whip, whep = f"{here.http}/whip/{room}", f"{here.http}/whep/{room}"
    async with AsyncExitStack() as stack:
        admitted = here.grant(room=room)
        await stack.enter_async_context(streaming(whip, admitted, Microphone(tone(440)), Camera(CAMERA)))
        assert (await here.reported(SessionStarted)).sources == ["camera"]
        (eye,) = await stack.enter_async_context(streaming(whep, here.grant(room=room)))
        await eye.sees(CAMERA)
    assert await here.freed() == FREE


async def test_without_the_permission_nothing_is_seen(here: Running, room: UUID) -> None:
    admission = here.admission(room=room, video=False)
    async with VideoClient(here.url, admission, microphone=tone(440), camera=CAMERA, screen=SCREEN) as eve:
        await eve.share("camera")
        assert (await eve.told(Refused)).code == "no_video"
        assert here.node.counters()["camera"] == 0
        await eve.share()
        await eve.mute(True)
        assert (await here.reported(SessionStarted)).sources == []
        assert (await here.reported(SessionChanged)).muted


async def test_who_asks_to_see_something_else_all_the_time_is_put_out(ada: VideoClient) -> None:
    for number in range(LOOKS_PER_WINDOW + 1):
        await ada.send(Watch([Wish(0, number + 1, 640)]))
    assert (await ada.told(Refused)).code == "bad_frame"
    assert (await ada.told(Ended)).reason == "lost"
