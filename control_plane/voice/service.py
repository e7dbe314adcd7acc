"""The shell of voice: issues grants, hears the media node, announces."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from control_plane.bus.ports import Bus
from control_plane.errors import NoMediaNode
from control_plane.events import voice_state_changed
from control_plane.store.ports import Store
from control_plane.voice.grants import Grants
from control_plane.voice.nodes import NodeLink
from control_plane.voice.sessions import Announce, Effect, VoiceSession, VoiceSessions
from proto.ids import ChannelId, ServerId, SessionId, UserId
from proto.media import (
    GRANT_SECONDS,
    Claims,
    EndSession,
    MediaEvent,
    SessionChanged,
    SessionEnded,
    SessionMoved,
    SessionStarted,
)
from proto.rest import Admission, Channel, VoiceState

log = structlog.get_logger()


class Voice:
    def __init__(
        self, *, node: NodeLink | None, grants: Grants, bus: Bus, store: Store, now: Callable[[], datetime]
    ) -> None:
        self._node = node
        self._grants = grants
        self._bus = bus
        self._store = store
        self._now = now
        self._sessions = VoiceSessions()

    def in_channel(self, channel_id: ChannelId) -> list[VoiceState]:
        return self._sessions.in_channel(channel_id)

    def in_server(self, server_id: ServerId) -> list[VoiceState]:
        return self._sessions.in_server(server_id)

    def admit(self, user_id: UserId, channel: Channel, session_id: SessionId) -> Admission:
        """Raises `NoMediaNode`."""
        node = self._node
        if node is None:
            raise NoMediaNode
        now = self._now()
        server_id, channel_id = ServerId(channel.server_id), ChannelId(channel.channel_id)
        self._sessions.admit(VoiceSession(session_id, server_id, channel_id, user_id, now))
        issued = int(now.timestamp())
        claims = Claims(
            aud=node.node_id,
            sub=user_id,
            room=channel_id,
            sid=session_id,
            jti=secrets.token_urlsafe(12),
            iat=issued,
            exp=issued + GRANT_SECONDS,
        )
        return Admission(
            session_id=session_id,
            signalling=node.signalling,
            grant=self._grants.issue(claims),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=GRANT_SECONDS),
            ice_servers=list(node.ice_servers),
        )

    async def leave(self, user_id: UserId, channel_id: ChannelId) -> None:
        await self._perform(self._sessions.leave(user_id, channel_id, self._now()))

    def session(self, user_id: UserId, channel_id: ChannelId) -> VoiceSession | None:
        """The user's, if it is in this channel."""
        return self._sessions.of(user_id, channel_id)

    async def sanction(self, session: VoiceSession, *, muted: bool | None = None, deafened: bool | None = None) -> None:
        await self._perform(self._sessions.sanction(session, muted=muted, deafened=deafened))

    async def move(self, session: VoiceSession, channel_id: ChannelId) -> None:
        """To a channel of the same server."""
        await self._perform(self._sessions.move(session, channel_id))

    async def remove(self, session: VoiceSession) -> None:
        await self._perform(self._sessions.end(session.session_id, "removed", self._now()))

    async def run(self) -> None:
        """Hears the node until it is gone."""
        if self._node is None:
            return
        async for event in self._node.events():
            try:
                await self._hear(event)
            except Exception:
                log.exception("media event failed", kind=type(event).__name__, session_id=str(event.session_id))
        if self._node.stopped:
            log.info("media node stopped", node_id=self._node.node_id)
        else:
            log.warning("media node gone", node_id=self._node.node_id)
        await self._perform(self._sessions.lost())

    async def expire(self) -> None:
        await self._perform(self._sessions.expire(self._now()))

    async def _hear(self, event: MediaEvent) -> None:
        match event:
            case SessionStarted():
                if not self._sessions.knows(SessionId(event.session_id)) and not await self._adopt(event):
                    await self._perform([EndSession(event.session_id, "removed")])
                await self._perform(self._sessions.started(event, self._now()))
            case SessionChanged():
                await self._perform(self._sessions.changed(event))
            case SessionMoved():
                await self._perform(self._sessions.moved(event))
            case SessionEnded():
                log.info("voice session ended", session_id=str(event.session_id), reason=event.reason)
                await self._perform(self._sessions.ended(event))

    async def _adopt(self, event: SessionStarted) -> bool:
        """A session we do not remember, after a restart of ours: its grant was checked by the node, its membership is
        here."""
        channel_id, user_id = ChannelId(event.channel_id), UserId(event.user_id)
        async with self._store.read() as view:
            channel = await view.channel(channel_id)
            if channel is None or await view.member(ServerId(channel.server_id), user_id) is None:
                return False
        server_id, session_id = ServerId(channel.server_id), SessionId(event.session_id)
        self._sessions.admit(VoiceSession(session_id, server_id, channel_id, user_id, self._now()))
        return True

    async def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Announce):
                state = effect.session.state
                self._bus.publish(voice_state_changed(effect.session.server_id, state, present=effect.present))
            elif self._node is not None:
                await self._node.send(effect)
