"""The shell of voice: issues grants, hears the media node, announces."""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from hmac import compare_digest
from uuid import UUID

import structlog

from control_plane.bus.ports import Bus
from control_plane.errors import NoMediaNode
from control_plane.events import voice_state_changed
from control_plane.store.ports import Store
from control_plane.voice.grants import Grants
from control_plane.voice.keys import MAX_SESSIONS, digest
from control_plane.voice.nodes import NodeLink
from control_plane.voice.sessions import Announce, Effect, VoiceSession, VoiceSessions
from proto.ice import IceConfig
from proto.ids import ChannelId, ServerId, SessionId, StreamKeyId, UserId
from proto.media import (
    GRANT_SECONDS,
    Authorize,
    Claims,
    Denied,
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
        self,
        *,
        node: NodeLink | None,
        grants: Grants,
        bus: Bus,
        store: Store,
        now: Callable[[], datetime],
        mint: Callable[[], UUID],
        ice: IceConfig,
    ) -> None:
        self._node = node
        self._grants = grants
        self._bus = bus
        self._store = store
        self._now = now
        self._mint = mint
        self._ice = ice
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
        session = VoiceSession(session_id, server_id, channel_id, user_id, now)
        self._sessions.admit(session)
        claims = _claims(node, session)
        return Admission(
            session_id=session_id,
            signalling=node.signalling,
            grant=self._grants.issue(claims),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=GRANT_SECONDS),
            ice_servers=[*node.ice_servers, *self._ice.servers(session_id, now)],
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
        """With what else the member has in that channel."""
        await self._perform(self._sessions.remove(session.user_id, session.channel_id, self._now()))

    async def authorize(self, question: Authorize) -> Claims | Denied:
        """What a stream key lets into, asked by the node. A session is admitted, as `join` would."""
        node, wanted = self._node, digest(question.stream_key)
        if node is None:
            return Denied("unknown_channel")
        async with self._store.read() as view:
            holder = await view.key_holder(wanted)
        if holder is None or not compare_digest(holder.digest, wanted):
            return Denied("unknown_key")
        if holder.channel_id != question.channel_id:
            return Denied("wrong_channel")
        if len(self._sessions.of_key(holder.key_id)) >= MAX_SESSIONS:
            return Denied("too_many")
        session = VoiceSession(
            SessionId(self._mint()),
            holder.server_id,
            holder.channel_id,
            holder.user_id,
            self._now(),
            key_id=holder.key_id,
            publishes=question.publishes,
        )
        self._sessions.admit(session)
        log.info("stream key used", key_id=str(holder.key_id), session_id=str(session.session_id))
        return _claims(node, session)

    async def end_of_keys(self, key_ids: Collection[StreamKeyId]) -> None:
        """These keys were revoked."""
        for key_id in key_ids:
            await self._perform(self._sessions.end_of_key(key_id, self._now()))

    async def run(self) -> None:
        """Hears the node until it is gone."""
        if self._node is None:
            return
        self._node.serve(self.authorize)
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
        if keys := self._sessions.keys():
            async with self._store.read() as view:
                live = await view.live_keys(keys)
            # Keys also go with the channel or the membership they belong to.
            await self.end_of_keys(keys - live)

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


def _claims(node: NodeLink, session: VoiceSession) -> Claims:
    """What a new grant for `session` says. Every member of a server may share camera and screen: STREAM is everybody's
    as long as there are no roles."""
    issued = int(session.start_time.timestamp())
    return Claims(
        aud=node.node_id,
        sub=session.user_id,
        room=session.channel_id,
        sid=session.session_id,
        jti=secrets.token_urlsafe(12),
        iat=issued,
        exp=issued + GRANT_SECONDS,
        video=True,
    )
