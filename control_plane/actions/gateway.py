"""What a gateway session reads: everything a user sees and where each topic stands, in one view (DESIGN §6, point
5)."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from control_plane.context import Services
from control_plane.events import Entered
from control_plane.store.ports import CursorGone, Page, Reader, Span
from proto.gateway import GuildSnapshot
from proto.ids import ServerId, Topic, UserId, guild_topic, user_topic
from proto.rest import Channel, Member, Server, VoiceState


@dataclass(frozen=True)
class Welcome:
    guilds: list[GuildSnapshot]
    cursors: dict[Topic, int]


@dataclass(frozen=True)
class Standing:
    spans: Mapping[Topic, Span]
    entered: set[Topic]


async def read_welcome(app: Services, user_id: UserId) -> Welcome:
    async with app.store.read() as view:
        servers = await view.servers_of(user_id)
        kept = await _guilds(view, servers)
        spans = await view.spans([user_topic(user_id), *(guild_topic(each.server_id) for each in servers)])
    # No await from here to the answer: the voice states are those of the moment in which it is given.
    guilds = [_snapshot(app, *each) for each in kept]
    return Welcome(guilds, {topic: span.head for topic, span in spans.items()})


async def read_guild(app: Services, user_id: UserId, server_id: ServerId) -> GuildSnapshot | None:
    """`None` if the user is not a member."""
    async with app.store.read() as view:
        server = await view.server(server_id)
        if server is None or await view.member(server_id, user_id) is None:
            return None
        [kept] = await _guilds(view, [server])
    return _snapshot(app, *kept)


async def read_standing(app: Services, user_id: UserId, cursors: Mapping[Topic, int]) -> Standing:
    """`entered`: the topics of guilds that the user's own log, from its cursor on, says were entered."""
    own = user_topic(user_id)
    entered: set[Topic] = set()
    async with app.store.read() as view:
        servers = await view.servers_of(user_id)
        spans = await view.spans([own, *(guild_topic(each.server_id) for each in servers)])
        cursor, more = cursors.get(own, -1), own in cursors and spans[own].reaches(cursors[own])
        while more:
            page = await view.events(own, after=cursor, limit=100)
            for event in page.events:
                cursor = event.n
                if event.t == "GUILD_CREATE":
                    entered.add(guild_topic(msgspec.json.decode(event.d, type=Entered).server_id))
            more = page.more
    return Standing(spans, entered)


async def read_log(app: Services, topic: Topic, *, after: int, limit: int) -> Page | None:
    """`None` if the log no longer reaches back so far."""
    try:
        async with app.store.read() as view:
            return await view.events(topic, after=after, limit=limit)
    except CursorGone:
        return None


def read_voice_states(app: Services, topics: Collection[Topic]) -> list[VoiceState]:
    guilds = [ServerId(UUID(topic.removeprefix("guild:"))) for topic in topics if topic.startswith("guild:")]
    return [state for server_id in guilds for state in app.voice.in_server(server_id)]


async def _guilds(view: Reader, servers: list[Server]) -> list[tuple[Server, list[Channel], list[Member]]]:
    ids = [ServerId(each.server_id) for each in servers]
    channels: defaultdict[UUID, list[Channel]] = defaultdict(list)
    members: defaultdict[UUID, list[Member]] = defaultdict(list)
    for channel in await view.channels(ids):
        channels[channel.server_id].append(channel)
    for server_id, member in await view.members(ids):
        members[server_id].append(member)
    return [(each, channels[each.server_id], members[each.server_id]) for each in servers]


def _snapshot(app: Services, server: Server, channels: list[Channel], members: list[Member]) -> GuildSnapshot:
    return GuildSnapshot(server, channels, members, app.voice.in_server(ServerId(server.server_id)))
