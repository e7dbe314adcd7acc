"""What a node refuses, over the real socket, and that a refusal changes nothing."""

import asyncio
import base64
import re
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from chorale_engine import Engine, Event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_plane import node as node_module
from data_plane import signalling
from data_plane.sdp.section import MAX_LENGTH
from data_plane.settings import NodeSettings
from proto.media import EndSession, SessionEnded
from proto.signalling import MAX_FRAME, REFUSALS, Beat, Ended, FromNode, Join, Joined, Leave, Mute, Refused
from tests.data_plane.support import GAUGES, Running, Socket, claims, offer, running, sign

FREE = dict.fromkeys(GAUGES, 0)
AN_OFFER = offer("chromium")


def unchanged(before: dict[str, int], after: dict[str, int]) -> bool:
    """Apart from the clocks of the workers and sockets that are still closing."""
    rest = [{k: v for k, v in each.items() if k != "sockets" and "cpu_ns" not in k} for each in (before, after)]
    return rest[0] == rest[1]


async def answer(here: Running, frame: Any) -> FromNode:
    async with here.socket() as socket:
        await socket.send(frame)
        return await socket.receive()


async def refused(here: Running, frame: Any) -> str:
    """The code of the refusal: the only frame, after which the node closes, having changed nothing."""
    before = here.node.counters()
    async with here.socket() as socket:
        await socket.send(frame)
        (only,) = await socket.rest()
    assert isinstance(only, Refused), only
    assert only.message.startswith(REFUSALS[only.code])
    assert unchanged(before, here.node.counters())
    return only.code


async def test_a_good_grant_and_a_good_offer_are_answered(here: Running) -> None:
    admitted = claims()
    joined = await answer(here, Join(sign(admitted, here.key), AN_OFFER))
    assert isinstance(joined, Joined)
    assert joined.session_id == admitted.sid
    assert [each.user_id for each in joined.participants] == [admitted.sub]
    assert joined.answer.count("m=audio 9 ") == 9
    assert (joined.slots, joined.participants[0].csrc) == ([], joined.csrc)


GRANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "expired": ("expired_grant", {"iat": int(time.time()) - 100, "exp": int(time.time()) - 40}),
    "of-another-node": ("wrong_node", {"aud": "node-2"}),
    "that-lives-too-long": ("bad_grant", {"exp": int(time.time()) + 3600}),
    "from-the-future": ("bad_grant", {"iat": int(time.time()) + 600, "exp": int(time.time()) + 660}),
}


@pytest.mark.parametrize(("code", "changes"), GRANTS.values(), ids=GRANTS)
async def test_a_grant_is_refused(here: Running, code: str, changes: dict[str, Any]) -> None:
    assert await refused(here, Join(here.grant(**changes), AN_OFFER)) == code


async def test_a_grant_of_a_stranger_is_refused(here: Running) -> None:
    assert await refused(here, Join(sign(claims(), Ed25519PrivateKey.generate()), AN_OFFER)) == "bad_grant"


async def test_the_grant_comes_before_everything_else(here: Running) -> None:
    assert await refused(here, Join("not a grant", "not an offer")) == "bad_grant"


async def test_a_grant_works_once(here: Running) -> None:
    grant = here.grant()
    here.may_resume_within(0)
    assert isinstance(await answer(here, Join(grant, AN_OFFER)), Joined)
    assert await here.freed() == FREE
    assert await refused(here, Join(grant, AN_OFFER)) == "used_grant"


async def test_a_second_grant_does_not_take_over_a_session(here: Running) -> None:
    session = uuid4()
    async with here.socket() as socket:
        await socket.send(Join(here.grant(sid=session), AN_OFFER))
        assert isinstance(await socket.receive(), Joined)
        assert await refused(here, Join(here.grant(sid=session), AN_OFFER)) == "used_grant"
        assert here.gauges["stays"] == 1


async def test_a_session_that_was_ended_before_it_began_does_not_begin(here: Running) -> None:
    session = uuid4()
    await here.control.send(EndSession(session, "removed"))
    assert await here.reported(SessionEnded) == SessionEnded(session, "removed")
    assert await refused(here, Join(here.grant(sid=session), AN_OFFER)) == "used_grant"


OFFERS = {
    "empty": "",
    "prose": "I should like to join, please.",
    "only-a-version": "v=0\r\n",
    "too-long": AN_OFFER + "a=x" * (MAX_LENGTH // 3),
    "video-only": AN_OFFER.replace("m=audio", "m=video"),
    "no-fingerprint": AN_OFFER.replace("a=fingerprint", "a=x-fingerprint"),
    "no-bundle": AN_OFFER.replace("a=group", "a=x-group"),
}


@pytest.mark.parametrize("text", OFFERS.values(), ids=OFFERS)
async def test_an_sdp_that_is_no_offer_is_refused_and_the_grant_stays_good(here: Running, text: str) -> None:
    grant = here.grant()
    assert await refused(here, Join(grant, text)) == "bad_offer"
    assert isinstance(await answer(here, Join(grant, AN_OFFER)), Joined)


async def test_what_the_engine_cannot_serve_is_refused_and_the_grant_stays_good(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)  # user fragments are unique
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        assert isinstance(await socket.receive(), Joined)
        grant = here.grant()
        assert await refused(here, Join(grant, AN_OFFER)) == "bad_offer"
        monkeypatch.undo()
        assert isinstance(await answer(here, Join(grant, AN_OFFER)), Joined)


async def test_a_full_node_refuses(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "MAX_STAYS", 1)
    async with here.socket() as socket:
        await socket.send(Join(here.grant(), AN_OFFER))
        assert isinstance(await socket.receive(), Joined)
        assert await refused(here, Join(here.grant(), AN_OFFER)) == "full"


FRAMES: dict[str, str | bytes] = {
    "not-json": "hello",
    "half-of-one": '{"op":"join","grant":',
    "no-op": "{}",
    "an-unknown-op": '{"op":"dance"}',
    "a-wrong-type": '{"op":"join","grant":1,"offer":""}',
    "binary": b'{"op":"leave"}',
    "a-beat-before-the-join": '{"op":"beat","id":1}',
    "a-leave-before-the-join": '{"op":"leave"}',
    "deep": '{"op":"join","grant":"","offer":"","more":' + "[" * 30_000 + "]" * 30_000 + "}",
    "a-number-of-70-bits": '{"op":"beat","id":1180591620717411303424}',
    "a-huge-number": '{"op":"beat","id":' + "9" * 60_000 + "}",
    "too-long": '{"op":"join","grant":"","offer":"' + "x" * MAX_FRAME + '"}',
    "too-long-in-bytes": '{"op":"join","grant":"","offer":"' + "€" * (MAX_FRAME // 2) + '"}',
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_what_is_no_frame_of_the_protocol_is_refused(here: Running, frame: str | bytes) -> None:
    assert await refused(here, frame) == "bad_frame"


@pytest.mark.parametrize("header", ["[" * 3000, '{"alg":"none"}', '{"alg":"HS256"}', '{"alg":["EdDSA"]}', "1e999", "ÿ"])
async def test_the_header_of_a_grant_can_do_no_harm(here: Running, header: str) -> None:
    encoded = base64.urlsafe_b64encode(header.encode("latin-1")).decode().rstrip("=")
    grant = ".".join((encoded, *here.grant().split(".")[1:]))
    assert await refused(here, Join(grant, AN_OFFER)) == "bad_grant"


# After the join


async def joined(here: Running, socket: Socket) -> Joined:
    await socket.send(Join(here.grant(), AN_OFFER))
    frame = await socket.receive()
    assert isinstance(frame, Joined)
    return frame


async def test_a_beat_comes_back_as_it_was(here: Running) -> None:
    async with here.socket() as socket:
        await joined(here, socket)
        await socket.send(Beat(2**53 - 1))
        assert await socket.receive() == Beat(2**53 - 1)


async def test_leaving_is_answered_before_the_socket_closes(here: Running) -> None:
    async with here.socket() as socket:
        await joined(here, socket)
        await socket.send(Mute(True))
        await socket.send(Leave())
        assert await socket.rest() == [Ended("left")]
    assert await here.freed() == FREE


BAD_LATER = {"no-frame": "hello", "a-second-join": Join("", ""), "a-huge-beat": FRAMES["a-number-of-70-bits"]}


@pytest.mark.parametrize("frame", BAD_LATER.values(), ids=BAD_LATER)
async def test_a_bad_frame_ends_the_stay(here: Running, frame: Any) -> None:
    async with here.socket() as socket:
        started = await joined(here, socket)
        await socket.send(frame)
        first, second = await socket.rest()
        assert isinstance(first, Refused)
        assert (first.code, second) == ("bad_frame", Ended("lost"))
    assert await here.reported(SessionEnded) == SessionEnded(started.session_id, "lost")
    assert await here.freed() == FREE


async def test_a_flood_of_frames_ends_the_stay(here: Running) -> None:
    async with here.socket() as socket:
        await joined(here, socket)
        for n in range(signalling.FRAMES_PER_WINDOW + 1):
            await socket.send(Beat(n))
        *beats, refusal, ended = await socket.rest()
        assert len(beats) == signalling.FRAMES_PER_WINDOW
        assert isinstance(refusal, Refused)
        assert ended == Ended("lost")
    assert await here.freed() == FREE


async def test_the_socket_of_a_silent_client_is_closed(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "SILENCE", 0.2)
    async with here.socket() as socket:
        await joined(here, socket)
        assert await socket.rest() == []
    assert here.gauges["stays"] == 1, "it may come again"


async def test_a_socket_on_which_nobody_joins_is_closed(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "JOIN_WITHIN", 0.2)
    async with here.socket() as socket:
        assert await socket.rest() == []
    assert await here.freed() == FREE


async def test_a_client_that_does_not_read_is_lost(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "SEND_WITHIN", 0.2)
    monkeypatch.setattr(signalling, "FRAMES_PER_WINDOW", 10**9)
    here.may_resume_within(0)
    here.small_buffers()
    async with here.socket(receive_buffer=4096) as socket:
        started = await joined(here, socket)
        socket.raw.transport.pause_reading()
        reported = asyncio.create_task(here.reported(SessionEnded))
        while not reported.done():
            await socket.send(Beat(2**53 - 1))
            await asyncio.sleep(0)
        assert await reported == SessionEnded(started.session_id, "lost")
        socket.raw.transport.abort()
    assert await here.freed() == FREE


async def test_hundreds_can_be_in_the_room(here: Running) -> None:
    """Each a socket with a peer that never connects, so that nobody is told of anybody."""
    room, crowd = uuid4(), 100
    here.may_resume_within(0)
    async with AsyncExitStack() as stack:
        csrcs = set()
        for _ in range(crowd):
            socket = await stack.enter_async_context(here.socket())
            await socket.send(Join(here.grant(room=room), AN_OFFER))
            frame = await socket.receive()
            assert isinstance(frame, Joined)
            csrcs.add(frame.csrc)
        assert len(csrcs) == crowd
        assert (here.gauges["rooms"], here.gauges["peers"]) == (1, crowd)
    assert await here.freed() == FREE


# The rest of what a node answers


async def test_an_announced_address_is_offered_instead() -> None:
    announce = ("203.0.113.7", "2001:db8::7")
    async with running(NodeSettings(("127.0.0.1", "::1"), announce=announce)) as here:
        (port,) = here.node.reach.ports
        assert here.node.announced == [f"203.0.113.7:{port}", f"[2001:db8::7]:{port}"]
        frame = await answer(here, Join(here.grant(), AN_OFFER))
        assert isinstance(frame, Joined)
        for address in announce:
            assert f" {address} {port} typ host\r\n" in frame.answer
            assert f" {address} {port} typ host tcptype passive\r\n" in frame.answer
        assert "127.0.0.1 " not in frame.answer.split("m=audio", 1)[1]


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_client_is_offered_the_sockets_of_the_worker_that_serves_it(tcp: bool) -> None:
    async with running(NodeSettings(("127.0.0.1",), workers=2, tcp=tcp)) as here:
        used = set()
        for _ in range(2):  # each in a room of its own
            frame = await answer(here, Join(here.grant(), AN_OFFER))
            assert isinstance(frame, Joined)
            lines = set(re.findall(r"a=candidate:.*", frame.answer))
            assert len(lines) == 1 + tcp
            used |= {int(line.split()[5]) for line in lines}
        assert used <= set(here.node.reach.ports)


async def test_counters_are_for_this_machine_only(here: Running) -> None:
    async with httpx.AsyncClient(base_url=here.http) as client:
        given = (await client.get("/media/stats")).json()
        assert {*GAUGES, "datagrams_in"} <= given.keys()
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            assert (await client.get("/media/stats", headers={header: "203.0.113.7"})).status_code == 404


class Failing:
    """The engine, one of whose threads has died."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def drain(self, max_events: int) -> list[Event]:
        raise RuntimeError("chorale-media failed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def test_when_the_engine_fails_everybody_is_lost_and_nobody_gets_in(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with here.socket() as socket:
        started = await joined(here, socket)
        monkeypatch.setattr(here.node, "_engine", Failing(here.node.engine))
        here.node._drain()
        assert await socket.rest() == [Ended("lost")]
    assert await here.reported(SessionEnded) == SessionEnded(started.session_id, "lost")
    with pytest.raises(StopAsyncIteration):
        await here.reported(SessionEnded)
    refusal = await answer(here, Join(here.grant(), AN_OFFER))
    assert isinstance(refusal, Refused)
    assert refusal.code == "full"
