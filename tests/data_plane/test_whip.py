"""WHIP and WHEP as HTTP: every status by its reason, and that a refusal changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from data_plane import http as http_module
from data_plane import node as node_module
from data_plane.whip import FRAGMENT, MAX_OFFER, SDP
from proto.ice import IceConfig, turn_credential
from proto.media import Denied, EndSession, SessionEnded
from tests.data_plane.support import GAUGES, Running, claims, offer, running, sign
from tests.data_plane.whip_support import PLAY, PUBLISH, Keys, bearer, begin, fragment, only, problem

FREE = dict.fromkeys(GAUGES, 0)


# What is created


@pytest.mark.parametrize(("way", "direction"), [("whip", "recvonly"), ("whep", "sendonly")])
async def test_an_offer_is_answered_with_a_session(
    here: Running, http: httpx.AsyncClient, keys: Keys, way: str, direction: str
) -> None:
    session = await begin(http, keys, way)
    created = session.created
    assert created.headers["content-type"] == SDP
    assert created.headers["location"].startswith(f"/{way}/")
    assert created.headers["accept-patch"] == FRAGMENT
    assert created.headers["access-control-allow-origin"] == "*"
    exposed = created.headers["access-control-expose-headers"].split(", ")
    assert {"Location", "Link", "ETag"} <= set(exposed)
    assert "set-cookie" not in created.headers
    assert session.tag.startswith('"')
    assert f"\r\na={direction}\r\n" in created.text
    (question,) = keys.asked
    assert question.publishes == (way == "whip")
    counters = here.node.counters()
    assert (counters["stays"], counters["sources"]) == (1, int(way == "whip"))
    assert (await session.delete()).status_code == 200
    assert await here.freed() == FREE


async def test_a_grant_lets_in_as_a_stream_key_does(here: Running, http: httpx.AsyncClient) -> None:
    admitted = claims()
    grant = sign(admitted, here.key)
    answer = await http.post(f"/whip/{admitted.room}", content=PUBLISH, headers=bearer(grant))
    assert answer.headers["location"] == f"/whip/{admitted.room}/{admitted.sid}"
    problem(await http.post(f"/whip/{admitted.room}", content=PUBLISH, headers=bearer(grant)), 401, "used before")


async def test_a_line_that_both_sends_and_receives_is_used_one_way(http: httpx.AsyncClient, keys: Keys) -> None:
    both = only("audio", "sendrecv")
    assert "\r\na=recvonly\r\n" in (await begin(http, keys, "whip", both)).created.text
    assert "\r\na=sendonly\r\n" in (await begin(http, keys, "whep", both)).created.text


async def test_several_lines_of_a_player_are_several_slots(here: Running, http: httpx.AsyncClient, keys: Keys) -> None:
    sdp = offer("libdatachannel").replace("a=sendonly", "a=recvonly")
    assert (await begin(http, keys, "whep", sdp)).created.text.count("a=sendonly") == 4


async def test_video_of_no_codec_of_ours_is_refused_with_port_0_and_audio_goes_on(
    http: httpx.AsyncClient, keys: Keys
) -> None:
    video = only("video", "sendonly").split("m=video")[1].replace("a=mid:0", "a=mid:1")
    sdp = PUBLISH.replace("BUNDLE 0", "BUNDLE 0 1") + "m=video" + video
    answer = (await begin(http, keys, "whip", sdp)).created.text
    assert "m=audio 9 " in answer
    assert "m=video 0 " in answer
    assert "a=group:BUNDLE 0\r\n" in answer


async def test_a_camera_is_published_and_played_in_the_codec_that_is_offered(
    here: Running, http: httpx.AsyncClient, keys: Keys
) -> None:
    sdp = offer("aiortc-video")
    up, down = ("\r\nm=".join(sdp.split("\r\nm=")[each] for each in lines) for lines in ((0, 1, 2), (0, 3, 4)))
    published = (await begin(http, keys, "whip", up + "\r\n")).created.text
    assert published.split("\r\nm=")[2].startswith("video 9 UDP/TLS/RTP/SAVPF 97 98 ")
    assert "\r\na=recvonly\r\n" in published.split("\r\nm=")[2]
    played = (await begin(http, keys, "whep", down)).created.text
    assert "\r\na=msid:video-0 video-0\r\n" in played.split("\r\nm=")[2]
    counters = here.node.counters()
    assert (counters["camera"], counters["screen"]) == (1, 0)


async def test_video_may_be_first_and_alone(http: httpx.AsyncClient, keys: Keys) -> None:
    head, camera, microphone, *_ = offer("firefox-simulcast").split("\r\nm=")
    for lines in ((head, camera, microphone), (head, camera)):
        answer = (await begin(http, keys, "whip", "\r\nm=".join(lines) + "\r\n")).created.text
        assert answer.split("\r\nm=")[1].startswith("video 9 ")


async def test_two_cameras_are_one_too_many(http: httpx.AsyncClient, keys: Keys) -> None:
    room = uuid4()
    sdp = offer("chromium-simulcast-first").replace("a=recvonly", "a=inactive")
    answer = await http.post(f"/whip/{room}", content=sdp, headers=bearer(keys.make(room)))
    problem(answer, 422)


async def test_one_line_needs_no_group(http: httpx.AsyncClient, keys: Keys) -> None:
    answer = (await begin(http, keys, "whip", PUBLISH.replace("a=group:BUNDLE 0\r\n", ""))).created.text
    assert "a=group" not in answer


async def test_rtcp_mux_only_and_nack_are_answered_where_they_are_offered(http: httpx.AsyncClient, keys: Keys) -> None:
    sdp = PUBLISH.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\na=rtcp-fb:111 nack\r\n")
    answer = (await begin(http, keys, "whip", sdp)).created.text
    assert "\r\na=rtcp-mux-only\r\n" in answer
    assert "\r\na=rtcp-fb:111 nack\r\n" in answer


async def test_turn_servers_come_with_credentials_of_this_session() -> None:
    ice = IceConfig(["stun:192.0.2.9"], ["turn:turn.example:3478?transport=udp", "turns:turn.example"], b"secret")
    async with running(ice=ice) as here, httpx.AsyncClient(base_url=here.http, trust_env=False) as http:
        keys = Keys()
        here.control.serve(keys.authorize)
        session = await begin(http, keys)
        stun_link, turn_link, turns_link = session.created.headers.get_list("link")
        assert stun_link == '<stun:192.0.2.9>; rel="ice-server"'
        fields = dict(each.split("=", 1) for each in turn_link.split("; ")[1:])
        assert turn_link.startswith("<turn:turn.example:3478?transport=udp>; ")
        assert turns_link.startswith("<turns:turn.example>; ")
        username = fields["username"].strip('"')
        assert username.endswith(f":{session.url.rpartition('/')[2]}")
        assert fields["credential"].strip('"') == turn_credential(b"secret", username)
        assert (fields["rel"], fields["credential-type"]) == ('"ice-server"', '"password"')


# What is refused


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic eDp5", "csk_x", "Bearer a b", "Bearer é"])
async def test_without_a_bearer_one_is_asked_for(here: Running, http: httpx.AsyncClient, header: str | None) -> None:
    headers: Any = [("Content-Type", SDP)]
    if header is not None:
        headers.append(("Authorization", header.encode("latin-1")))
    answer = problem(await http.post(f"/whip/{uuid4()}", content=PUBLISH, headers=headers), 401, "stream key")
    assert answer.headers["www-authenticate"] == 'Bearer realm="chorale"'
    assert here.gauges == FREE


async def test_an_unknown_stream_key_is_refused(http: httpx.AsyncClient, keys: Keys) -> None:
    answer = problem(await http.post(f"/whip/{uuid4()}", content=PUBLISH, headers=bearer("csk_no")), 401, "neither")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_expired_grant_is_refused(here: Running, http: httpx.AsyncClient) -> None:
    old = claims(iat=1_000_000, exp=1_000_060)
    answer = await http.post(f"/whip/{old.room}", content=PUBLISH, headers=bearer(sign(old, here.key)))
    problem(answer, 401, "expired")


@pytest.mark.parametrize("changes", [{}, {"aud": "node-2"}], ids=["another-channel", "another-node"])
async def test_a_grant_for_elsewhere_is_forbidden(
    here: Running, http: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    answer = await http.post(f"/whep/{uuid4()}", content=PLAY, headers=bearer(here.grant(**changes)))
    assert "insufficient_scope" in problem(answer, 403, "another").headers["www-authenticate"]


@pytest.mark.parametrize(("reason", "status"), [("wrong_channel", 403), ("unknown_channel", 404), ("too_many", 503)])
async def test_what_the_control_plane_denies_has_its_status(
    http: httpx.AsyncClient, keys: Keys, reason: Any, status: int
) -> None:
    keys.denied = Denied(reason)
    problem(await http.post(f"/whip/{uuid4()}", content=PUBLISH, headers=bearer("csk_x")), status)


async def test_what_is_no_id_is_not_found(http: httpx.AsyncClient, keys: Keys) -> None:
    problem(await http.post("/whip/lounge", content=PUBLISH, headers=bearer("csk_x")), 404)
    assert keys.asked == []


async def test_without_a_control_plane_one_may_come_later(here: Running, http: httpx.AsyncClient) -> None:
    answer = problem(await http.post(f"/whip/{uuid4()}", content=PUBLISH, headers=bearer("csk_x")), 503)
    assert int(answer.headers["retry-after"]) > 0


async def test_a_full_node_says_when_to_come_again(
    here: Running, http: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "MAX_STAYS", 0)
    room = uuid4()
    answer = await http.post(f"/whip/{room}", content=PUBLISH, headers=bearer(keys.make(room)))
    assert int(problem(answer, 503, "full").headers["retry-after"]) > 0
    assert here.gauges == FREE


async def endless() -> AsyncIterator[bytes]:
    for _ in range(MAX_OFFER // 1024 + 1):
        yield b"a" * 1024


OFFERS: dict[str, tuple[str, int, str, Any, dict[str, str]]] = {
    "prose": ("whip", 400, "not an SDP offer", "Let me in.", {}),
    "not UTF-8": ("whip", 400, "UTF-8", b"v=0\r\n\xff", {}),
    "a short password": ("whip", 400, "ice-pwd", PUBLISH.replace("a=ice-pwd:kzuaB", "a=ice-pwd:"), {}),
    "of another type": ("whip", 415, "application/sdp", PUBLISH, {"Content-Type": "text/plain"}),
    "without a type": ("whep", 415, "application/sdp", PLAY, {"Content-Type": ""}),
    "too large": ("whip", 413, "bytes", PUBLISH + "a=x\r\n" * MAX_OFFER, {}),
    "too large, of unsaid length": ("whip", 413, "bytes", endless, {}),
    "unanswerable": ("whip", 406, "accept", PUBLISH, {"Accept": "text/html, application/sdp;q=0"}),
    "without Opus": ("whip", 422, "opus", PUBLISH.replace("opus/48000/2", "PCMU/8000"), {}),
    "of video alone": ("whip", 422, "opus", only("video", "sendonly"), {}),
    "without rtcp-mux": ("whip", 422, "rtcp-mux", PUBLISH.replace("a=rtcp-mux\r\n", ""), {}),
    "to listen, by WHIP": ("whip", 422, "sendonly", PLAY, {}),
    "of two microphones": (
        "whip",
        422,
        "One audio and one video track",
        offer("libdatachannel").replace("recvonly", "sendonly"),
        {},
    ),
    "to speak, by WHEP": ("whep", 422, "recvonly", PUBLISH, {}),
    "of nothing, by WHEP": ("whep", 422, "recvonly", only("audio", "inactive"), {}),
}


@pytest.mark.parametrize(("way", "status", "word", "body", "headers"), OFFERS.values(), ids=OFFERS)
async def test_an_offer_is_refused(
    here: Running,
    http: httpx.AsyncClient,
    keys: Keys,
    way: str,
    status: int,
    word: str,
    body: Any,
    headers: dict[str, str],
) -> None:
    room = uuid4()
    content = body() if callable(body) else body
    answer = await http.post(f"/{way}/{room}", content=content, headers=bearer(keys.make(room), **headers))
    problem(answer, status, word)
    # The control plane has admitted a session, and is told that it will not come.
    assert (await here.reported(SessionEnded)).reason == "lost"
    assert here.gauges == FREE


async def test_a_body_that_does_not_come_is_not_waited_for(
    here: Running, http: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "BODY_WITHIN", 0.1)
    room = uuid4()
    key = keys.make(room)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"v=0\r\n"
        await asyncio.Event().wait()

    sending = asyncio.create_task(http.post(f"/whip/{room}", content=slowly(), headers=bearer(key)))
    assert (await here.reported(SessionEnded)).reason == "lost"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert here.gauges == FREE


@pytest.mark.parametrize("accept", ["application/sdp", "application/*", "*/*", "text/html, */*;q=0.1", ""])
async def test_whoever_accepts_sdp_is_answered(http: httpx.AsyncClient, keys: Keys, accept: str) -> None:
    room = uuid4()
    answer = await http.post(f"/whip/{room}", content=PUBLISH, headers=bearer(keys.make(room), Accept=accept))
    assert answer.status_code == 201


# Methods


@pytest.mark.parametrize("way", ["whip", "whep"])
async def test_other_methods_are_told_which_there_are(http: httpx.AsyncClient, keys: Keys, way: str) -> None:
    session = await begin(http, keys, way)
    endpoint = session.url.rpartition("/")[0]
    for method in ("PUT", "DELETE", "PATCH"):
        answer = problem(await http.request(method, endpoint, headers=bearer(session.token)), 405)
        assert answer.headers["allow"] == "POST, GET, HEAD, OPTIONS"
    for method in ("PUT", "POST"):
        answer = problem(await http.request(method, session.url, headers=bearer(session.token)), 405)
        assert answer.headers["allow"] == "PATCH, DELETE, GET, HEAD, OPTIONS"


async def test_there_is_nothing_to_get_which_is_no_error(http: httpx.AsyncClient, keys: Keys) -> None:
    session = await begin(http, keys)
    for method in ("GET", "HEAD"):
        for url in (session.url, session.url.rpartition("/")[0]):
            answer = await http.request(method, url, headers=bearer(session.token))
            assert (answer.status_code, answer.content) == (204, b"")
    problem(await http.get(session.url), 401)
    problem(await http.get(session.url, headers=bearer("csk_x")), 404)


async def test_a_preflight_is_answered_to_everybody(http: httpx.AsyncClient) -> None:
    asked = {
        "Origin": "https://player.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    for path, accept in ((f"/whep/{uuid4()}", "accept-post"), (f"/whep/{uuid4()}/{uuid4()}", "accept-patch")):
        answer = await http.options(path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        allowed = answer.headers["access-control-allow-headers"]
        assert {"Authorization", "Content-Type", "If-Match"} <= set(allowed.split(", "))
        assert ("POST" if accept == "accept-post" else "PATCH") in answer.headers["access-control-allow-methods"]
        assert answer.headers[accept] in (SDP, FRAGMENT)
        assert "link" not in answer.headers


# The session


async def test_a_session_is_deleted_once(here: Running, http: httpx.AsyncClient, keys: Keys) -> None:
    session = await begin(http, keys)
    assert (await session.delete(**{"If-Match": '"another"'})).status_code == 200
    assert (await here.reported(SessionEnded)).reason == "left"
    problem(await session.delete(), 404)
    problem(await session.patch(fragment()), 404)
    assert await here.freed() == FREE


async def test_a_session_is_only_there_for_the_bearer_that_made_it(http: httpx.AsyncClient, keys: Keys) -> None:
    session, other = await begin(http, keys), await begin(http, keys)
    problem(await http.delete(session.url), 401)
    problem(await http.delete(session.url, headers=bearer(other.token)), 404)
    problem(await http.delete(session.url.replace("/whip/", "/whep/"), headers=bearer(session.token)), 404)
    elsewhere = f"/whip/{uuid4()}/{session.url.rpartition('/')[2]}"
    problem(await http.delete(elsewhere, headers=bearer(session.token)), 404)
    assert (await session.delete()).status_code == 200


async def test_a_bearer_that_has_expired_still_ends_what_it_made(
    here: Running, http: httpx.AsyncClient, keys: Keys
) -> None:
    session = await begin(http, keys)
    keys.known.clear()
    assert (await session.delete()).status_code == 200


async def test_a_session_that_the_control_plane_ends_is_gone(
    here: Running, http: httpx.AsyncClient, keys: Keys
) -> None:
    session = await begin(http, keys)
    await here.control.send(EndSession(UUID(session.url.rpartition("/")[2]), "removed"))
    assert (await here.reported(SessionEnded)).reason == "removed"
    problem(await session.delete(), 404)
    assert await here.freed() == FREE
