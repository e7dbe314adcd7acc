"""Sockets and transports that break, and stays that do not: real clients on the real node."""

import re
from contextlib import suppress
from uuid import uuid4

import pytest
import websockets

from data_plane.settings import NodeSettings
from data_plane.stays import OFFERS_PER_MINUTE
from proto.media import EndSession, SessionChanged, SessionEnded, SessionStarted
from proto.signalling import (
    TAKEN_OVER,
    Answer,
    Departed,
    Ended,
    Join,
    Joined,
    Leave,
    Mute,
    Offer,
    Refused,
    Restart,
    Resume,
    Resumed,
)
from tests.clients.aiortc_client import AiortcClient, JoinRefused, heard, loudest_frequency, rms, tone
from tests.data_plane.support import GAUGES, Running, offer, running

FREE = dict.fromkeys(GAUGES, 0)
AN_OFFER, ANOTHER = offer("chromium"), offer("aiortc")


def value(sdp: str, name: str) -> str:
    found = re.search(rf"^a={name}:(\S+)", sdp, re.MULTILINE)
    assert found is not None
    return found[1]


async def hears(listener: AiortcClient, speaker: AiortcClient, frequency: float) -> None:
    sound = await heard(listener, speaker)
    assert loudest_frequency(sound) == pytest.approx(frequency, abs=5)
    assert rms(sound) > 0.1


# Sockets


async def test_media_goes_on_without_the_socket_and_the_others_notice_nothing(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room), microphone=tone(1000)) as bob,
    ):
        await hears(ada, bob, 1000)
        ada.break_socket()
        await here.detached()
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        for kind in (SessionStarted, SessionStarted):
            await here.reported(kind)
        await bob.mute(True)
        await here.reported(SessionChanged)
        resumed = await ada.resume()
        assert (resumed.session_id, resumed.channel_id, resumed.csrc) == (ada.joined.session_id, room, ada.joined.csrc)
        assert not resumed.restart
        assert [each.csrc for each in resumed.participants] == [ada.joined.csrc, bob.joined.csrc]
        assert resumed.participants[1].muted, "what happened meanwhile is in it"
        assert not any(isinstance(each, Departed) for each in bob.frames)
        await ada.free_of(bob.joined.csrc)
        await bob.mute(False)
        await hears(ada, bob, 1000)
    assert await here.freed() == FREE


async def test_a_token_works_once(here: Running) -> None:
    async with AiortcClient(here.url, here.admission()) as ada:
        first = ada.token
        ada.break_socket()
        second = (await ada.resume()).token
        assert second != first
        with pytest.raises(JoinRefused) as refused:
            await ada.resume(first)
        assert refused.value.code == "bad_token"
        await ada.resume(second)
    with pytest.raises(JoinRefused):
        await ada.resume()


@pytest.mark.parametrize(
    "change",
    [lambda _: "", lambda t: t[:-1], lambda t: t + "x", lambda t: f"{uuid4().hex}{t[32:]}", lambda t: f"{t[:32]}.€"],
    ids=["nothing", "shorter", "longer", "of-another-session", "another-secret"],
)
async def test_what_is_not_the_token_resumes_nothing(here: Running, change: object) -> None:
    assert callable(change)
    async with AiortcClient(here.url, here.admission()) as ada, here.socket() as socket:
        await socket.send(Resume(change(ada.token)))
        (refused,) = await socket.rest()
        assert isinstance(refused, Refused)
        assert refused.code == "bad_token"
        await ada.mute(True)
        await ada.resume()


async def test_a_second_socket_takes_over_from_the_first(here: Running) -> None:
    async with here.socket() as first, here.socket() as second:
        await first.send(Join(here.grant(), AN_OFFER))
        joined = await first.receive()
        assert isinstance(joined, Joined)
        await second.send(Resume(joined.token))
        assert isinstance(await second.receive(), Resumed)
        assert await first.rest() == []
        assert first.raw.close_code == TAKEN_OVER
        await second.send(Leave())
        assert (await second.rest())[-1] == Ended("left")
    assert await here.freed() == FREE


async def test_a_socket_that_was_taken_over_has_no_say_any_more(here: Running) -> None:
    room = uuid4()
    async with AiortcClient(here.url, here.admission(room=room)) as bob:
        await here.reported(SessionStarted)
        async with AiortcClient(here.url, here.admission(room=room)) as ada:
            await here.reported(SessionStarted)
            before = ada._socket
            await ada.resume()
            with suppress(websockets.ConnectionClosed):
                await before.send('{"op":"deafen","deafened":true}')
            await ada.send(Mute(True))
            assert await here.reported(SessionChanged) == SessionChanged(ada.joined.session_id, muted=True)
            await ada.send(Mute(False))
        await bob.told(Departed)


async def test_who_does_not_come_again_is_lost(here: Running) -> None:
    room = uuid4()
    here.may_resume_within(0.2)
    lost = here.admission(room=room)
    async with AiortcClient(here.url, here.admission(room=room)) as bob:
        await here.reported(SessionStarted)
        async with AiortcClient(here.url, lost, microphone=tone(440)) as ada:
            await here.reported(SessionStarted)
            await ada.vanish()
        assert (await bob.told(Departed)).session_id == lost.session_id
        assert await here.reported(SessionEnded) == SessionEnded(lost.session_id, "lost")
    assert await here.freed() == FREE


async def test_a_page_that_is_closed_has_left(here: Running) -> None:
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        joined = await socket.receive()
        assert isinstance(joined, Joined)
        await socket.raw.close(1001)
        assert await here.reported(SessionEnded) == SessionEnded(joined.session_id, "left")
    assert await here.freed() == FREE


async def test_a_page_whose_socket_was_taken_over_has_not(here: Running) -> None:
    async with AiortcClient(here.url, here.admission()) as ada:
        before = ada._socket
        await ada.resume()
        await before.close(1001)
        await ada.resume()


async def test_a_stay_without_a_socket_can_be_ended(here: Running) -> None:
    admission = here.admission()
    async with AiortcClient(here.url, admission) as ada:
        await here.reported(SessionStarted)
        ada.break_socket()
        await here.detached()
        await here.control.send(EndSession(admission.session_id, "removed"))
        assert await here.reported(SessionEnded) == SessionEnded(admission.session_id, "removed")
        with pytest.raises(JoinRefused):
            await ada.resume()
    assert await here.freed() == FREE


async def test_who_closes_its_transport_while_away_has_left(here: Running) -> None:
    admission = here.admission()
    async with AiortcClient(here.url, admission) as ada:
        await here.reported(SessionStarted)
        ada.break_socket()
        await here.detached()
        await ada.transport.connection.close()
        assert await here.reported(SessionEnded) == SessionEnded(admission.session_id, "lost")
    assert await here.freed() == FREE


# Transports


async def test_a_client_whose_transport_is_lost_is_asked_for_another(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room), microphone=tone(1000)) as bob,
    ):
        await hears(bob, ada, 440)
        await ada.transport.connection.close()
        await ada.told(Restart)
        await bob.free_of(ada.joined.csrc)
        await ada.renew()
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        assert not any(isinstance(each, Departed) for each in bob.frames)
        assert here.gauges["peers"] == 2
    assert await here.freed() == FREE


async def test_who_offers_no_other_transport_is_lost(here: Running) -> None:
    here.may_resume_within(0.2)
    admission = here.admission()
    async with AiortcClient(here.url, admission, microphone=tone(440)) as ada:
        await here.reported(SessionStarted)
        await ada.transport.connection.close()
        await ada.told(Restart)
        assert await ada.told(Ended) == Ended("lost")
    assert await here.reported(SessionEnded) == SessionEnded(admission.session_id, "lost")
    assert await here.freed() == FREE


async def test_a_new_transport_takes_the_place_of_a_living_one(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room), microphone=tone(1000)) as bob,
    ):
        await hears(bob, ada, 440)
        await ada.mute(True)
        await bob.free_of(ada.joined.csrc)
        await ada.renew()
        assert here.gauges["peers"] == 2, "the one before is gone"
        await ada.mute(False)
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        assert not any(isinstance(each, Departed) for each in bob.frames)
    assert await here.freed() == FREE


async def test_a_transport_that_never_connects_changes_nothing(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room)) as bob,
    ):
        await ada.answer_to(AN_OFFER)
        assert here.gauges["peers"] == 3
        await ada.answer_to(ANOTHER)
        assert here.gauges["peers"] == 3, "an offer takes the place of one that did not connect"
        await hears(bob, ada, 440)
    assert await here.freed() == FREE


async def test_an_ice_restart_moves_the_path_and_keeps_the_rest(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440)) as ada,
        AiortcClient(here.url, here.admission(room=room), microphone=tone(1000)) as bob,
    ):
        await hears(bob, ada, 440)
        await ada.restart_ice()
        first, again = ada.joined.answer, (await ada.told(Answer)).answer
        assert (value(first, "ice-ufrag"), value(first, "ice-pwd")) != (
            value(again, "ice-ufrag"),
            value(again, "ice-pwd"),
        )
        (before,) = re.findall(r"^o=- (\d+) 1 ", first, re.MULTILINE)
        assert re.findall(r"^o=- (\d+) 2 ", again, re.MULTILINE) == [before]
        same = re.compile(r"^(?:m=|a=(?:mid|ssrc|fingerprint|setup|rtpmap|extmap|sendonly|recvonly)).*", re.MULTILINE)
        assert same.findall(first) == same.findall(again)
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        assert here.gauges["peers"] == 2
        await ada.restart_ice()
        await hears(bob, ada, 440)
    assert await here.freed() == FREE


async def test_an_offer_that_changes_nothing_is_answered_as_before(here: Running) -> None:
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        joined = await socket.receive()
        assert isinstance(joined, Joined)
        await socket.send(Offer(AN_OFFER))
        answered = await socket.receive()
        assert isinstance(answered, Answer)
        assert answered.answer == re.sub(r"^(o=- \d+) 1 ", r"\1 2 ", joined.answer, flags=re.MULTILINE)


CHANGES = {
    "no-sdp": ("not sdp", "does not begin"),
    "another-payload-type": (AN_OFFER.replace("111", "109"), "stay as they were"),
    "a-line-less": (AN_OFFER.replace("a=mid:8", "a=mid:9").replace("7 8", "7 9"), "stay as they were"),
}


@pytest.mark.parametrize(("sdp", "reason"), CHANGES.values(), ids=CHANGES)
async def test_a_bad_offer_is_refused_and_the_stay_goes_on(here: Running, sdp: str, reason: str) -> None:
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        await socket.receive()
        await socket.send(Offer(sdp))
        refused = await socket.receive()
        assert isinstance(refused, Refused)
        assert refused.code == "bad_offer"
        assert reason in refused.message
        await socket.send(Offer(AN_OFFER))
        assert isinstance(await socket.receive(), Answer)
        assert here.gauges["stays"] == 1


async def test_the_transport_that_was_lost_is_not_taken_again(here: Running) -> None:
    async with AiortcClient(here.url, here.admission(), microphone=tone(440)) as ada:
        await ada.transport.connection.close()
        await ada.told(Restart)
        with pytest.raises(JoinRefused, match="lost"):
            await ada.answer_to(ada.offer)


async def test_offers_are_counted(here: Running) -> None:
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        await socket.receive()
        for _ in range(OFFERS_PER_MINUTE):
            await socket.send(Offer("no offer"))
            refused = await socket.receive()
            assert isinstance(refused, Refused)
            assert refused.code == "bad_offer"
        await socket.send(Offer(AN_OFFER))
        refused = await socket.receive()
        assert isinstance(refused, Refused)
        assert refused.code == "too_many_offers"
        assert here.gauges["stays"] == 1


async def test_when_a_worker_of_the_engine_fails_its_clients_come_again(here: Running) -> None:
    room = uuid4()
    async with (
        AiortcClient(here.url, here.admission(room=room), microphone=tone(440), slots=8) as ada,
        AiortcClient(here.url, here.admission(room=room), microphone=tone(1000), slots=8) as bob,
        AiortcClient(here.url, here.admission(room=room), slots=8) as eve,
    ):
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        eve.break_socket()
        await here.detached()
        here.node.engine._panic_worker(0)
        for client in (ada, bob):
            await client.told(Restart)
        await ada.free_of(bob.joined.csrc)
        assert (await eve.resume()).restart, "who was away may come again too"
        for client in (ada, bob, eve):
            await client.renew()
        await hears(bob, ada, 440)
        await hears(ada, bob, 1000)
        await hears(eve, bob, 1000)
        assert not any(isinstance(each, Departed) for client in (ada, bob, eve) for each in client.frames)
    assert await here.freed() == FREE


async def test_in_a_room_on_several_workers_new_transports_are_heard_as_well() -> None:
    room = uuid4()
    async with running(NodeSettings(("127.0.0.1",), workers=2, spread_above=1)) as here:
        async with (
            AiortcClient(here.url, here.admission(room=room), microphone=tone(440), slots=8) as ada,
            AiortcClient(here.url, here.admission(room=room), microphone=tone(1000), slots=8) as bob,
            AiortcClient(here.url, here.admission(room=room), slots=8) as eve,
        ):
            for client in (ada, ada, bob, eve):
                await client.renew()
                await hears(bob, ada, 440)
                await hears(ada, bob, 1000)
            await hears(eve, ada, 440)
            await hears(eve, bob, 1000)
        assert await here.freed() == FREE
