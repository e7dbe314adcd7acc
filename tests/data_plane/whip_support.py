"""What the tests of WHIP and WHEP share: offers, a control plane that knows stream keys, sessions."""

from dataclasses import dataclass, field
from urllib.parse import urljoin
from uuid import UUID, uuid4

import httpx

from data_plane.whip import FRAGMENT, SDP
from proto.media import Authorize, Claims, Denied
from tests.data_plane.support import claims, offer


def only(kind: str, direction: str) -> str:
    """One m-line of an offer by libdatachannel, as OBS writes it: no header extension, candidates in it."""
    text = offer("libdatachannel")
    head, first, *_ = text.split("m=audio ")
    sdp = f"{head}m={kind} {first}".replace("BUNDLE 0 1 2 3", "BUNDLE 0").replace("LS 0 1 2 3", "LS 0")
    return sdp.replace("a=sendonly", f"a={direction}")


PUBLISH, PLAY = only("audio", "sendonly"), only("audio", "recvonly")


@dataclass
class Keys:
    """The control plane, which knows these stream keys."""

    known: dict[str, UUID] = field(default_factory=dict)  # key to channel
    asked: list[Authorize] = field(default_factory=list)
    denied: Denied = field(default_factory=lambda: Denied("unknown_key"))

    def make(self, channel_id: UUID) -> str:
        key = f"csk_{uuid4().hex}"
        self.known[key] = channel_id
        return key

    async def authorize(self, question: Authorize) -> Claims | Denied:
        self.asked.append(question)
        if self.known.get(question.stream_key) != question.channel_id:
            return self.denied
        return claims(room=question.channel_id)


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": SDP, **more}


def problem(answer: httpx.Response, status: int, *words: str) -> httpx.Response:
    """The answer, having seen that it is a problem in words that a page of another origin may read."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    for word in words:
        assert word in body["detail"], body
    return answer


@dataclass
class Session:
    http: httpx.AsyncClient
    token: str
    created: httpx.Response

    @property
    def url(self) -> str:
        return urljoin(str(self.created.url), self.created.headers["location"])

    @property
    def tag(self) -> str:
        return self.created.headers["etag"]

    async def patch(self, body: str, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": FRAGMENT}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.patch(self.url, content=body, headers=given)

    async def delete(self, **headers: str) -> httpx.Response:
        return await self.http.delete(self.url, headers={"Authorization": f"Bearer {self.token}", **headers})


async def begin(http: httpx.AsyncClient, keys: Keys, way: str = "whip", sdp: str = "") -> Session:
    room = uuid4()
    key = keys.make(room)
    body = sdp or (PUBLISH if way == "whip" else PLAY)
    answer = await http.post(f"/{way}/{room}", content=body, headers=bearer(key))
    assert answer.status_code == 201, answer.text
    return Session(http, key, answer)


OLD, NEW = ("olk0", "kzuaB+w/ziesoaDp4Qv6BY"), ("newU", "newPassword+0123456789")


def fragment(ufrag: str = OLD[0], password: str = OLD[1]) -> str:
    lines = (
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1",
        "a=candidate:473322822 1 tcp 1518280447 0f0e.local 9 typ host tcptype active",
        "a=end-of-candidates",
    )
    return "\r\n".join(lines) + "\r\n"
