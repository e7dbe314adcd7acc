"""People in one server, and programs that come in by the same invite link."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin
from uuid import uuid4

import httpx
import msgspec

from proto.rest import Admission, Channel, Session
from proto.rest import Server as Guild
from proto.signalling import RESUME_SECONDS
from tests.end_to_end.person import PASSWORD, Person, person
from tests.end_to_end.server import Server
from tests.end_to_end.speech import Voice

GAUGES = ("rooms", "peers", "sources", "slots_held", "dtls_pending")


async def everything_freed(chorale: Server) -> dict[str, int]:
    """The engine's gauges once they are all zero, or ten seconds after a browser that died could have come again."""
    gauges: dict[str, int] = {}
    for _ in range(10 * (RESUME_SECONDS + 10)):
        counters = chorale.counters()
        gauges = {name: counters[name] for name in GAUGES}
        if not any(gauges.values()):
            break
        await asyncio.sleep(0.1)
    return gauges


class Guest:
    """A program with an account: the REST API, no page."""

    def __init__(self, url: str, name: str) -> None:
        self._client = httpx.AsyncClient(base_url=url)
        self._name = name
        self.user_id = ""

    async def __aenter__(self) -> Self:
        answer = await self._client.post("/users", json={"username": self._name, "password": PASSWORD})
        answer.raise_for_status()
        session = msgspec.json.decode(answer.content, type=Session)
        self.user_id = str(session.user.user_id)
        self._client.headers["Authorization"] = f"Bearer {session.token}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def join(self, link: str, channel: str) -> tuple[str, Admission]:
        """Accept the invite and join the channel of that name: signalling's full address, the admission."""
        accepted = await self._client.post(f"/invites/{link.rpartition('/')[2]}")
        accepted.raise_for_status()
        guild = msgspec.json.decode(accepted.content, type=Guild)
        listed = await self._client.get(f"/servers/{guild.server_id}/channels")
        listed.raise_for_status()
        channels = msgspec.json.decode(listed.content, type=list[Channel])
        (wanted,) = [each for each in channels if each.name == channel]
        joined = await self._client.post(f"/channels/{wanted.channel_id}/join")
        joined.raise_for_status()
        admission = msgspec.json.decode(joined.content, type=Admission)
        address = urljoin(str(self._client.base_url), admission.signalling)
        return address.replace("http", "ws", 1) if address.startswith("http") else address, admission


@dataclass(frozen=True)
class Gathering:
    """`people` by the name of their voice, `ids` their user ids, `link` the way in for more."""

    people: dict[str, Person]
    ids: dict[str, str]
    link: str
    suffix: str


async def _user_id(who: Person) -> str:
    async with httpx.AsyncClient(base_url=who.url) as client:
        answer = await client.post("/login", json={"username": who.name, "password": PASSWORD})
        answer.raise_for_status()
        return str(msgspec.json.decode(answer.content, type=Session).user.user_id)


@asynccontextmanager
async def gathering(chorale: Server, voices: Mapping[str, Voice]) -> AsyncIterator[Gathering]:
    """One browser a voice, all members of one new server: the first person made it, the others followed its link."""
    suffix = uuid4().hex[:8]
    async with AsyncExitStack() as stack:
        people = {
            name: await stack.enter_async_context(person(f"{name}_{suffix}", chorale.url, voice))
            for name, voice in voices.items()
        }
        first, *others = people.values()
        await first.sign_up()
        link = await first.create_server("Analytical Society")
        for other in others:
            await other.accept(link)
        ids = {name: await _user_id(who) for name, who in people.items()}
        yield Gathering(people, ids, link, suffix)
