"""PATCH on sessions of WHIP and WHEP: trickled candidates and ICE restarts."""

import asyncio
from typing import Any

import httpx
import pytest
from aioice import stun

from data_plane.sdp import Fragment
from data_plane.stays import OFFERS_PER_MINUTE
from data_plane.whip import FRAGMENT, MAX_FRAGMENT, SDP
from tests.data_plane.support import GAUGES, PATIENCE, Running
from tests.data_plane.whip_support import NEW, Keys, begin, fragment, problem

FREE = dict.fromkeys(GAUGES, 0)


async def test_candidates_are_accepted_and_not_needed(http: httpx.AsyncClient, keys: Keys) -> None:
    session = await begin(http, keys)
    for matching in (session.tag, "*", f'"other", {session.tag}'):
        answer = await session.patch(fragment(), If_Match=matching)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "etag" not in answer.headers


PATCHES: dict[str, tuple[int, str, str | bytes, dict[str, str]]] = {
    "without a precondition": (428, "If-Match", fragment(), {}),
    "a restart without a precondition": (428, "If-Match", fragment(*NEW), {}),
    "of another ICE session": (412, "over", fragment(), {"If_Match": '"another"'}),
    "of a weak tag": (412, "over", fragment(), {"If_Match": "W/TAG"}),
    "of a tag that is none": (412, "over", fragment(), {"If_Match": "BARE"}),
    "of another type": (415, FRAGMENT, fragment(), {"If_Match": "*", "Content_Type": SDP}),
    "too large": (413, "bytes", fragment() + "a=x\r\n" * MAX_FRAGMENT, {"If_Match": "*"}),
    "of prose": (400, "fragment", "Here I am.", {"If_Match": "*"}),
    "of nothing": (400, "ice-ufrag", "", {"If_Match": "*"}),
    "with half a restart": (400, "both", fragment("newU"), {"If_Match": "*"}),
    "with the other half": (400, "both", fragment(password=NEW[1]), {"If_Match": "*"}),
}


@pytest.mark.parametrize(("status", "word", "body", "headers"), PATCHES.values(), ids=PATCHES)
async def test_a_patch_is_refused_and_the_session_goes_on(
    here: Running, http: httpx.AsyncClient, keys: Keys, status: int, word: str, body: str, headers: dict[str, str]
) -> None:
    session = await begin(http, keys)
    replaced = {"BARE": session.tag.strip('"'), "W/TAG": f"W/{session.tag}"}
    given = {name: replaced.get(value, value) for name, value in headers.items()}
    problem(await session.patch(body, **given), status, word)
    assert (await session.patch(fragment(), If_Match=session.tag)).status_code == 204
    assert (await session.delete()).status_code == 200


async def reached(here: Running, local: str, remote: tuple[str, str]) -> bool:
    """Whether the engine answers a check with these credentials: its fragment and password, the client's fragment."""
    ufrag, password = remote
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes |= {"USERNAME": f"{ufrag}:{local}", "PRIORITY": 1, "ICE-CONTROLLING": 1, "USE-CANDIDATE": None}
    request.add_message_integrity(password.encode())
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    class Checking(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: Any) -> None:
            if not answered.done():
                answered.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Checking, remote_addr=here.node.engine.addresses[0][0])
    try:
        transport.sendto(bytes(request))
        answer = stun.parse_message(await asyncio.wait_for(answered, PATIENCE))
    finally:
        transport.close()
    answer.check_message_integrity(password.encode())
    return answer.message_class is stun.Class.RESPONSE


@pytest.mark.parametrize("matching", ["*", '"*"', "TAG"])
async def test_an_ice_restart_brings_new_credentials_on_both_sides(
    here: Running, http: httpx.AsyncClient, keys: Keys, matching: str
) -> None:
    session = await begin(http, keys)
    answer = await session.patch(fragment(*NEW), If_Match=matching.replace("TAG", session.tag))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FRAGMENT
    assert answer.headers["etag"] != session.tag
    ours = Fragment.parse(answer.text)
    assert f"a=ice-ufrag:{ours.ufrag}\r\n" not in session.created.text
    assert "a=ice-lite\r\n" in answer.text
    assert (ours.mids, ours.candidates) == (("0",), 2)
    port = here.node.reach.ports[0]
    for end in ("typ host", "typ host tcptype passive"):
        assert f" 127.0.0.1 {port} {end}\r\n" in answer.text
    assert await reached(here, NEW[0], (ours.ufrag, ours.password))

    problem(await session.patch(fragment(*NEW), If_Match=session.tag), 412)
    assert (await session.patch(fragment(*NEW), If_Match=answer.headers["etag"])).status_code == 204
    assert (await session.delete()).status_code == 200
    assert await here.freed() == FREE


async def test_a_restart_that_the_engine_does_not_take_leaves_the_session_as_it_was(
    here: Running, http: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_plane.node.secrets.token_hex", lambda size: "0" * 2 * size)  # fragments are unique
    session = await begin(http, keys)
    problem(await session.patch(fragment(*NEW), If_Match="*"), 422, "in use")
    assert (await session.patch(fragment(), If_Match=session.tag)).status_code == 204


async def test_ice_is_restarted_so_often_and_no_more(http: httpx.AsyncClient, keys: Keys) -> None:
    session = await begin(http, keys)
    for n in range(OFFERS_PER_MINUTE):
        assert (await session.patch(fragment(f"new{n}", NEW[1] + str(n)), If_Match="*")).status_code == 200
    answer = problem(await session.patch(fragment(*NEW), If_Match="*"), 429, "Too many")
    assert answer.headers["retry-after"] == "60"
    assert (await session.delete()).status_code == 200
