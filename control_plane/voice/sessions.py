"""Voice sessions, a core: from what was admitted and what the node reports to who is where.

A session is pending from `join` until the node reports that it started; only then is it announced. A user has one
active session of their own: one that starts ends the others. Beside it there may be what was made with stream keys: an
encoder that comes back ends its own earlier session, and players do not mind each other.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from proto.ids import ChannelId, ServerId, SessionId, StreamKeyId, UserId
from proto.media import GRANT_SECONDS, EndReason, EndSession, SessionEnded, SessionMuted, SessionStarted
from proto.rest import VoiceState

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
    key_id: StreamKeyId | None = None  # of the stream key it was made with; None: by a grant from `join`
    publishes: bool = True

    @property
    def state(self) -> VoiceState:
        return VoiceState(self.session_id, self.channel_id, self.user_id, self.start_time, self.muted)

    def replaces(self, other: "VoiceSession") -> bool:
        same = self.user_id == other.user_id and self.key_id == other.key_id
        return same and (self.key_id is None or (self.publishes and other.publishes))


@dataclass(frozen=True)
class Announce:
    session: VoiceSession
    present: bool


Effect = Announce | EndSession


class VoiceSessions:
    def __init__(self) -> None:
        self._pending: dict[SessionId, VoiceSession] = {}
        self._active: dict[SessionId, VoiceSession] = {}
        self._over: dict[SessionId, datetime] = {}  # ended by us, until the node can no longer report their start

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
        session = replace(pending, start_time=now, muted=event.muted)
        effects: list[Effect] = []
        for other in [each for each in self._active.values() if session.replaces(each)]:
            effects += self.end(other.session_id, "replaced", now)
        self._active[session.session_id] = session
        return [*effects, Announce(session, present=True)]

    def muted(self, event: SessionMuted) -> list[Effect]:
        session = self._active.get(SessionId(event.session_id))
        if session is None or session.muted == event.muted:
            return []
        changed = self._active[session.session_id] = replace(session, muted=event.muted)
        return [Announce(changed, present=True)]

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
        effects: list[Effect] = []
        for each in [*self._active.values(), *self._pending.values()]:
            if each.user_id == user_id and each.channel_id == channel_id and each.key_id is None:
                effects += self.end(each.session_id, "left", now)
        return effects

    def of_key(self, key_id: StreamKeyId) -> list[VoiceSession]:
        """Pending ones too."""
        return [each for each in [*self._active.values(), *self._pending.values()] if each.key_id == key_id]

    def keys(self) -> set[StreamKeyId]:
        """Those with which something was made that is not over."""
        return {each.key_id for each in [*self._active.values(), *self._pending.values()] if each.key_id is not None}

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
