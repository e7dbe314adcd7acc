"""What is announced: durable events of a topic's log, and states, of which only the last counts (DESIGN §6)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from proto.ids import ServerId, Topic, guild_topic
from proto.rest import Channel, Member, Message, VoiceState


@dataclass(frozen=True)
class Announcement:
    """What happened, before it has a place in a log."""

    t: str
    d: bytes  # JSON


@dataclass(frozen=True)
class LogEvent:
    """An announcement at its place: the `n`-th event of `topic`."""

    topic: Topic
    n: int
    t: str
    d: bytes  # JSON
    stored: bool  # whether what it speaks of is where readers look for it

    @cached_property
    def head(self) -> str:
        """Its gateway frame up to the session's own `s`: encoded once, however many receive it."""
        return f'{{"op":0,"t":"{self.t}","topic":"{self.topic}","n":{self.n},"d":{self.d.decode()},"s":'


@dataclass(frozen=True)
class StateChange:
    """A state of a guild: no cursor, the last value wins."""

    topic: Topic
    t: str
    d: bytes  # JSON

    @cached_property
    def head(self) -> str:
        return f'{{"op":0,"t":"{self.t}","d":{self.d.decode()},"s":'


class Entered(msgspec.Struct, frozen=True):
    """The log's GUILD_CREATE: the user is a member from event `cursor` on. The session reads the guild itself when it
    delivers this, so that no log holds a copy of a whole guild."""

    server_id: ServerId
    cursor: int


class MemberAdded(msgspec.Struct, frozen=True):
    server_id: ServerId
    member: Member


class VoiceStateChanged(msgspec.Struct, frozen=True):
    state: VoiceState
    present: bool


def announcement(t: str, d: Any) -> Announcement:
    return Announcement(t, msgspec.json.encode(d))


def message_created(message: Message) -> Announcement:
    return announcement("MESSAGE_CREATE", message)


def channel_created(channel: Channel) -> Announcement:
    return announcement("CHANNEL_CREATE", channel)


def member_added(server_id: ServerId, member: Member) -> Announcement:
    return announcement("GUILD_MEMBER_ADD", MemberAdded(server_id, member))


def guild_entered(server_id: ServerId, cursor: int) -> Announcement:
    return announcement("GUILD_CREATE", Entered(server_id, cursor))


def voice_state_changed(server_id: ServerId, state: VoiceState, *, present: bool) -> StateChange:
    change = VoiceStateChanged(state, present)
    return StateChange(guild_topic(server_id), "VOICE_STATE_UPDATE", msgspec.json.encode(change))
