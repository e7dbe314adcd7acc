"""Voice sessions, a core: from what was admitted and what the node reports to who is where.

A session is pending from `join` until the node reports that it started; only then is it announced. A user has one
active session of their own: one that starts ends the others. Beside it there may be what was made with stream keys: an
encoder that comes again ends its own earlier session, and players do not mind each other. What is announced is what the
node reports, not what it was told to do.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from proto.ids import ChannelId, ServerId, SessionId, StreamKeyId, UserId
from proto.media import (
    GRANT_SECONDS,
    DeafenSession,
    EndReason,
    EndSession,
    MediaCommand,
    MoveSession,
    MuteSession,
    SessionChanged,
    SessionEnded,
    SessionMoved,
    SessionStarted,
)
from proto.rest import Shared, VoiceState

MAX_STAY = timedelta(hours=24)
# Until when a grant may still be turned into a session, with room for a slow handshake after its last second.
PENDING = timedelta(seconds=GRANT_SECONDS + 30)


@dataclass(frozen=True)
class VoiceSession:
    session_id: SessionId
    server_id: ServerId
    channel_id: ChannelId
    user_id: UserId
    start_time: datetime  # while pending: of the join
    muted: bool = False
    deafened: bool = False
    server_muted: bool = False
    server_deafened: bool = False
    sources: tuple[Shared, ...] = ()  # what it shares beside its microphone
    key_id: StreamKeyId | None = None  # of the stream key it was made with; None: by a grant from `join`
    publishes: bool = True

    @property
    def state(self) -> VoiceState:
        return VoiceState(
            session_id=self.session_id,
            channel_id=self.channel_id,
            user_id=self.user_id,
            start_time=self.start_time,
            muted=self.muted,
            deafened=self.deafened,
            server_muted=self.server_muted,
            server_deafened=self.server_deafened,
            sources=list(self.sources),
        )

    def replaces(self, other: "VoiceSession") -> bool:
        same = self.user_id == other.user_id and self.key_id == other.key_id
        return same and (self.key_id is None or (self.publishes and other.publishes))


@dataclass(frozen=True)
class Announce:
    session: VoiceSession
    present: bool


@dataclass(frozen=True)
class Sanction:
    """What who runs a server has done to a member: it outlives the member's sessions, but not this process."""

    muted: bool = False
    deafened: bool = False


Effect = Announce | MediaCommand
_NONE = Sanction()


class VoiceSessions:
    def __init__(self) -> None:
        self._pending: dict[SessionId, VoiceSession] = {}
        self._active: dict[SessionId, VoiceSession] = {}
        self._over: dict[SessionId, datetime] = {}  # ended by us, until the node can no longer report their start
        self._sanctions: dict[tuple[ServerId, UserId], Sanction] = {}

    def admit(self, session: VoiceSession) -> None:
        self._pending[session.session_id] = session

    def in_channel(self, channel_id: ChannelId) -> list[VoiceState]:
        """Those who came first first."""
        return [each.state for each in self._active.values() if each.channel_id == channel_id]

    def in_server(self, server_id: ServerId) -> list[VoiceState]:
        return [each.state for each in self._active.values() if each.server_id == server_id]

    def knows(self, session_id: SessionId) -> bool:
        """Whether `started` needs no `admit` before it."""
        return session_id in self._pending or session_id in self._active or session_id in self._over

    def started(self, event: SessionStarted, now: datetime) -> list[Effect]:
        """Nothing for a session that was never admitted, or that we have ended meanwhile: its end is on the way to
        the node."""
        pending = self._pending.pop(SessionId(event.session_id), None)
        if pending is None:
            return []
        session = replace(
            pending,
            channel_id=ChannelId(event.channel_id),
            start_time=now,
            muted=event.muted,
            deafened=event.deafened,
            sources=tuple(event.sources),
        )
        effects: list[Effect] = []
        for other in [each for each in self._active.values() if session.replaces(each)]:
            effects += self.end(other.session_id, "replaced", now)
        self._active[session.session_id] = session
        effects.append(Announce(session, present=True))
        sanction = self._sanctions.get((session.server_id, session.user_id), _NONE)
        if sanction.muted:
            effects.append(MuteSession(session.session_id, True))
        if sanction.deafened:
            effects.append(DeafenSession(session.session_id, True))
        return effects

    def changed(self, event: SessionChanged) -> list[Effect]:
        return self._become(
            event.session_id,
            muted=event.muted,
            deafened=event.deafened,
            server_muted=event.server_muted,
            server_deafened=event.server_deafened,
            sources=tuple(event.sources),
        )

    def moved(self, event: SessionMoved) -> list[Effect]:
        return self._become(event.session_id, channel_id=event.channel_id)

    def _become(self, session_id: UUID, **changes: Any) -> list[Effect]:
        session = self._active.get(SessionId(session_id))
        if session is None or session == (changed := replace(session, **changes)):
            return []
        self._active[session.session_id] = changed
        return [Announce(changed, present=True)]

    # What who runs the server does to those who are there.

    def of(self, user_id: UserId, channel_id: ChannelId) -> VoiceSession | None:
        """The user's session in this channel: their own, else one of a stream key."""
        there = [each for each in self._active.values() if (each.user_id, each.channel_id) == (user_id, channel_id)]
        return next((each for each in there if each.key_id is None), there[0] if there else None)

    def sanction(
        self, session: VoiceSession, *, muted: bool | None = None, deafened: bool | None = None
    ) -> list[Effect]:
        """Nobody hears the member, or nothing is sent to it, now and whenever it comes again, whatever the way. None:
        as it is."""
        key = session.server_id, session.user_id
        before = self._sanctions.pop(key, _NONE)
        sanction = Sanction(
            muted=before.muted if muted is None else muted, deafened=before.deafened if deafened is None else deafened
        )
        if sanction != _NONE:
            self._sanctions[key] = sanction
        # Always, for the node may not have answered the last command yet.
        effects: list[Effect] = []
        for each in [each for each in self._active.values() if (each.server_id, each.user_id) == key]:
            if muted is not None:
                effects.append(MuteSession(each.session_id, muted))
            if deafened is not None:
                effects.append(DeafenSession(each.session_id, deafened))
        return effects

    def move(self, session: VoiceSession, channel_id: ChannelId) -> list[Effect]:
        return [MoveSession(session.session_id, channel_id)]

    def ended(self, event: SessionEnded) -> list[Effect]:
        session_id = SessionId(event.session_id)
        self._pending.pop(session_id, None)
        session = self._active.pop(session_id, None)
        return [Announce(session, present=False)] if session else []

    def end(self, session_id: SessionId, reason: EndReason, now: datetime) -> list[Effect]:
        """Of our own accord. The node is told even if it does not know the session yet: then the grant is void."""
        session = self._active.pop(session_id, None)
        if session is None and self._pending.pop(session_id, None) is None:
            return []
        self._over[session_id] = now + PENDING
        gone: list[Effect] = [Announce(session, present=False)] if session else []
        return [*gone, EndSession(session_id, reason)]

    def leave(self, user_id: UserId, channel_id: ChannelId, now: datetime) -> list[Effect]:
        """Ends the user's sessions in this channel, pending ones too. What a stream key was given to stays."""
        theirs = [each for each in self._in(channel_id, user_id) if each.key_id is None]
        return [effect for each in theirs for effect in self.end(each.session_id, "left", now)]

    def remove(self, user_id: UserId, channel_id: ChannelId, now: datetime) -> list[Effect]:
        """Ends all of the user's sessions in this channel."""
        theirs = self._in(channel_id, user_id)
        return [effect for each in theirs for effect in self.end(each.session_id, "removed", now)]

    def _in(self, channel_id: ChannelId, user_id: UserId) -> list[VoiceSession]:
        """Pending ones too."""
        there = [each for each in self._all if each.channel_id == channel_id]
        return [each for each in there if each.user_id == user_id]

    @property
    def _all(self) -> list[VoiceSession]:
        return [*self._active.values(), *self._pending.values()]

    # Of stream keys.

    def of_key(self, key_id: StreamKeyId) -> list[VoiceSession]:
        """Pending ones too."""
        return [each for each in self._all if each.key_id == key_id]

    def keys(self) -> set[StreamKeyId]:
        """Those with which something was made that is not over."""
        return {each.key_id for each in self._all if each.key_id is not None}

    def end_of_key(self, key_id: StreamKeyId, now: datetime) -> list[Effect]:
        return [effect for each in self.of_key(key_id) for effect in self.end(each.session_id, "removed", now)]

    def lost(self) -> list[Effect]:
        """The node is gone, and everybody on it."""
        gone, self._active = self._active, {}
        self._pending.clear()
        return [Announce(each, present=False) for each in gone.values()]

    def expire(self, now: datetime) -> list[Effect]:
        self._over = {each: until for each, until in self._over.items() if until > now}
        self._pending = {each.session_id: each for each in self._pending.values() if each.start_time + PENDING > now}
        effects: list[Effect] = []
        for each in [each for each in self._active.values() if each.start_time + MAX_STAY <= now]:
            effects += self.end(each.session_id, "removed", now)
        return effects
