"""A media node: the engine, the directory of who is in which room, and the link to the control plane."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from chorale_engine import Engine, Event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.routing import BaseRoute, WebSocketRoute

from data_plane.addresses import offered
from data_plane.directory import BadToken, Directory, GrantUsed, NoVideo
from data_plane.effects import (
    Command,
    DeafenPeer,
    Effect,
    Hang,
    IgnorePeers,
    MovePeer,
    MutePeer,
    PeerHandle,
    RemovePeer,
    Report,
    RoomHandle,
    SharePeer,
    Tell,
    WatchPeers,
)
from data_plane.grants import BadGrant, verify
from data_plane.link import Link, LinkDown
from data_plane.reach import Reach
from data_plane.sdp import BadOffer, Candidate, Offer
from data_plane.settings import NodeSettings
from data_plane.signalling import Client, Refusal, Signalling, encode
from data_plane.stats import stats_route
from data_plane.stays import Stay
from data_plane.transports import Transport
from data_plane.whip import Restarted, Whip
from proto.ice import IceConfig
from proto.media import (
    Authorize,
    Claims,
    DeafenSession,
    Denied,
    EndReason,
    EndSession,
    MediaCommand,
    MediaEvent,
    MoveSession,
    MuteSession,
    SessionEnded,
)
from proto.rest import IceServer, Shared
from proto.signalling import AUDIO_SLOTS, TAKEN_OVER, Join, Joined, Wish

log = structlog.get_logger()

SIGNALLING_PATH = "/media/signalling"

# Stays on one node; the engine's own limits come with the measured capacity of a worker.
MAX_STAYS = 20_000
EVENTS_AT_ONCE = 1024
# Seconds for saying goodbye: clients read it at once or not at all.
FAREWELL = 1


class Node:
    """`running()` is its life; everything else works only inside of it."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        node_id: str,
        link: Link,
        grant_key: Ed25519PublicKey,
        ice: IceConfig | None = None,
    ) -> None:
        """`ice`: STUN and TURN servers that WHIP and WHEP clients are told of."""
        self._settings, self._node_id, self._link, self._grant_key = settings, node_id, link, grant_key
        self._ice = ice or IceConfig()
        self._directory = Directory(video_codecs=settings.video_codecs)
        self._clients: dict[UUID, Client] = {}  # by session, while its socket is open
        self._transports: dict[PeerHandle, Transport] = {}
        self._lost: dict[UUID, Transport] = {}  # by session: the last one that the engine lost
        self._engine: Engine | None = None
        self._reports: asyncio.Queue[MediaEvent] = asyncio.Queue()
        self._signalling, self._whip = Signalling(self), Whip(self)
        self._open = False  # to new stays
        self._parting: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the node is not running")
        return self._engine

    @property
    def announced(self) -> list[str]:
        """Where clients are told to send media by UDP, as address:port."""
        workers = range(len(self.engine.addresses))
        found = [(each.address, each.port) for worker in workers for each in self._candidates(worker) if not each.tcp]
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found]

    def _candidates(self, worker: int) -> list[Candidate]:
        return offered(self.engine.addresses[worker], self._settings.announce, tcp=self._settings.tcp)

    @property
    def reach(self) -> Reach:
        """Where it can be reached, for whoever runs it."""
        return Reach(self.engine, self._settings, self._directory)

    def routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute(SIGNALLING_PATH, self._signalling), *self._whip.routes, stats_route(self.counters)]

    def counters(self) -> dict[str, int]:
        """The engine's, and gauges of our own: stays, what of each kind they share, and open signalling sockets, before
        their join too."""
        own = {"stays": len(self._directory), "sockets": self._signalling.sockets}
        return self.engine.counters() | own | self._directory.shared

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Once. Raises OSError when an address cannot be bound."""
        loop = asyncio.get_running_loop()
        self._engine = engine = Engine(
            addresses=self._settings.addresses,
            port=self._settings.port,
            audio_slots=AUDIO_SLOTS,
            workers=self._settings.workers,
            spread_above=self._settings.spread_above,
            tcp=self._settings.tcp,
        )
        loop.add_reader(engine.event_fd, self._drain)
        obeying, reporting = asyncio.create_task(self._obey()), asyncio.create_task(self._report())
        self._open = True
        log.info("media node up", addresses=self.announced)
        try:
            yield
        finally:
            await self.farewell()
            loop.remove_reader(engine.event_fd)
            for task in (obeying, reporting):
                task.cancel()
            await asyncio.gather(obeying, reporting, return_exceptions=True)
            if self._alarm is not None:
                self._alarm.cancel()
            engine.close()
            log.info("media node down")

    async def farewell(self) -> None:
        """Tell every client that its stay is over, and the control plane; let nobody in any more. Idempotent.

        To be called before the HTTP server closes its sockets, or clients see a lost connection instead.
        """
        await self._part("shutdown")

    def _part(self, reason: EndReason) -> asyncio.Task[None]:
        if self._parting is None:
            self._open = False
            self._perform(self._directory.end_all(reason))
            self._parting = asyncio.create_task(self._say_goodbye(failed=reason != "shutdown"))
        return self._parting

    async def _say_goodbye(self, *, failed: bool) -> None:
        for done in (self._signalling.idle(), self._reports.join()):
            with suppress(TimeoutError):
                await asyncio.wait_for(done, FAREWELL)
        await self._link.close(failed=failed)

    # What clients ask, through `data_plane.signalling` and `data_plane.whip`.

    def join(self, frame: Join, client: Client) -> UUID:
        """Let a client in, and tell it. The session's id. Raises `Refusal`, and has then changed nothing."""
        claims = self._granted(frame.grant)
        stay, answer = self.enter(claims, _parse(frame.offer), client)
        joined = Joined(
            answer=answer,
            session_id=stay.session_id,
            csrc=stay.csrc,
            screen_csrc=stay.screen_csrc,
            participants=self._directory.participants(stay),
            slots=stay.slots,
            videos=stay.videos,
            token=stay.token,
        )
        client.tell(encode(joined))
        return stay.session_id

    def _granted(self, grant: str) -> Claims:
        """Raises `Refusal`."""
        try:
            return verify(grant, key=self._grant_key, node_id=self._node_id)
        except BadGrant as wrong:
            raise Refusal(wrong.code) from None

    async def authorize(self, channel_id: UUID, bearer: str, *, publishes: bool) -> Claims:
        """Whom a bearer lets into this channel: a grant, or a stream key (they have no dot). Raises `Refusal`."""
        if "." in bearer:
            claims = self._granted(bearer)
            if claims.room != channel_id:
                raise Refusal("wrong_channel")
            return claims
        try:
            answer = await self._link.authorize(Authorize(channel_id, bearer, publishes))
        except LinkDown:
            raise Refusal("unavailable") from None
        if isinstance(answer, Denied):
            raise Refusal(answer.reason)
        return answer

    def spoil(self, claims: Claims) -> None:
        """What a stream key was answered with came to nothing: the control plane need not wait for it."""
        self._reports.put_nowait(SessionEnded(claims.sid, "lost"))

    def enter(self, claims: Claims, offer: Offer, client: Client | None) -> tuple[Stay, str]:
        """A stay and the answer to its offer. Without a `client` it lives and dies with its transport. Raises
        `Refusal`, and has then changed nothing."""
        if not self._open or len(self._directory) >= MAX_STAYS:
            raise Refusal("full")
        transport = Transport.answering(offer, fingerprint=self.engine.fingerprint, video=claims.video)
        try:
            stay = self._directory.join(
                claims,
                transport.slots,
                secret=_secret(),
                random=_random_words(),
                now=time.monotonic(),
                signalled=client is not None,
                video=transport.abilities,
            )
        except GrantUsed:
            raise Refusal("used_grant") from None
        assert stay.coming is not None  # noqa: S101 - what `join` says
        try:
            answer = self._add(stay, stay.coming.handle, transport)
        except BaseException:
            self._directory.undo(stay)
            raise
        if client is not None:
            self._clients[stay.session_id] = client
        return stay, answer

    def resume(self, token: str, client: Client) -> UUID:
        """The client takes a stay over. The session's id. Raises `Refusal`."""
        try:
            stay, effects = self._directory.resume(token, _secret(), time.monotonic())
        except BadToken:
            raise Refusal("bad_token") from None
        before = self._clients.pop(stay.session_id, None)
        if before is not None:
            before.hang_up(TAKEN_OVER)
        self._clients[stay.session_id] = client
        self._perform(effects)
        return stay.session_id

    def offer(self, session_id: UUID, sdp: str) -> str:
        """The answer to a further offer: an ICE restart, or a new transport. Raises `Refusal`, and has then changed
        nothing."""
        stay = self._directory.stay(session_id)
        if stay is None:
            raise Refusal("bad_offer", "the stay is over")
        if not stay.take_offer(time.monotonic()):
            raise Refusal("too_many_offers")
        offer = _parse(sdp)
        for peer in (stay.coming, stay.peer):
            if peer is not None and (transport := self._transports[peer.handle]).is_of(offer):
                return self._again(peer.handle, transport, offer)
        if session_id in self._lost and self._lost[session_id].is_of(offer):
            raise Refusal("bad_offer", "that transport is lost; offer a new one")
        handle = self._directory.new_peer()
        transport = Transport.answering(offer, fingerprint=self.engine.fingerprint, video=stay.claims.video)
        answer = self._add(stay, handle, transport)
        self._perform(self._directory.renew(stay, handle, transport.slots, transport.abilities))
        return answer

    def restart_ice(self, session_id: UUID, *, ufrag: str, password: str) -> Restarted:
        """For a client whose further offers say nothing else. Raises `Refusal`, and has then changed nothing."""
        stay = self._directory.stay(session_id)
        peer = None if stay is None else stay.peer or stay.coming
        if stay is None or peer is None:
            raise Refusal("bad_offer", "the stay is over")
        if not stay.take_offer(time.monotonic()):
            raise Refusal("too_many_offers")
        transport = self._transports[peer.handle]
        self._again(peer.handle, transport, replace(transport.offer, ufrag=ufrag, password=password))
        local = self._transports[peer.handle].local
        return Restarted(local.ufrag, local.password, self._candidates(transport.worker))

    def ice_servers(self, session_id: UUID) -> Sequence[IceServer]:
        return self._ice.servers(session_id, datetime.now(UTC))

    def _add(self, stay: Stay, handle: PeerHandle, transport: Transport) -> str:
        """A new peer of the engine. The answer to its offer. Raises `Refusal`."""
        try:
            worker = self.engine.add_peer(room=stay.room.handle, peer=handle, config=transport.peer(*stay.csrcs))
        except ValueError as wrong:
            raise Refusal("bad_offer", str(wrong)) from None
        return self._keep(handle, replace(transport.preferring(self._directory.codecs(stay)), worker=worker))

    def _again(self, handle: PeerHandle, transport: Transport, offer: Offer) -> str:
        """The answer to another offer for the same transport. Raises `Refusal`."""
        try:
            renewed = transport.again(offer)
            if transport.restarts(offer):
                self.engine.restart_ice(
                    handle,
                    local_ufrag=renewed.local.ufrag,
                    local_password=renewed.local.password,
                    remote_ufrag=offer.ufrag,
                    remote_password=offer.password,
                )
        except (BadOffer, ValueError) as wrong:
            raise Refusal("bad_offer", str(wrong)) from None
        return self._keep(handle, renewed)

    def _keep(self, handle: PeerHandle, transport: Transport) -> str:
        """What it is now, and the answer that says so."""
        self._transports[handle] = transport
        return transport.answer(self._candidates(transport.worker))

    def mute(self, session_id: UUID, muted: bool) -> None:
        self._perform(self._directory.mute(session_id, muted))

    def deafen(self, session_id: UUID, deafened: bool) -> None:
        self._perform(self._directory.deafen(session_id, deafened))

    def ignore(self, session_id: UUID, csrcs: Sequence[int]) -> None:
        self._perform(self._directory.ignore(session_id, csrcs))

    def share(self, session_id: UUID, sources: Sequence[Shared]) -> None:
        """Raises `Refusal`."""
        try:
            self._perform(self._directory.share(session_id, sources))
        except NoVideo:
            raise Refusal("no_video") from None

    def watch(self, session_id: UUID, wishes: Sequence[Wish]) -> None:
        self._perform(self._directory.watch(session_id, wishes))

    def leave(self, session_id: UUID, reason: EndReason) -> None:
        self._perform(self._directory.leave(session_id, reason))

    def detached(self, session_id: UUID, client: Client) -> None:
        """The socket of `client` is closed. Nothing, if the stay is over or another socket has taken it over."""
        if self._clients.get(session_id) is client:
            del self._clients[session_id]
            self._directory.detached(session_id, time.monotonic())
            self._perform(())

    # What the engine, the control plane and the clock say.

    def _drain(self) -> None:
        try:
            events = self.engine.drain(EVENTS_AT_ONCE)
        except RuntimeError as failed:  # a thread of the engine died, and with it every transport
            log.critical("media engine failed", error=str(failed))
            asyncio.get_running_loop().remove_reader(self.engine.event_fd)
            self._part("lost")
            return
        effects: list[Effect] = []
        for event in events:
            effects += self._hear(event)
        self._perform(effects)

    def _hear(self, event: Event) -> list[Effect]:
        match event:
            case Event.RoomSlot(room=room, slot=slot, csrc=csrc, timestamp=timestamp):
                self._directory.room_slot(RoomHandle(room), slot, csrc, timestamp)
            case Event.SlotChanged(peer=peer, slot=slot, csrc=csrc, timestamp=timestamp):
                self._directory.peer_slot(PeerHandle(peer), slot, csrc, timestamp)
            case Event.Speaking(room=room, csrc=csrc, speaking=speaking):
                self._directory.speaks(RoomHandle(room), csrc, speaking)
            case Event.Dominant(room=room, csrc=csrc):
                self._directory.dominates(RoomHandle(room), csrc)
            case Event.VideoSlot():
                self._directory.video_slot(
                    PeerHandle(event.peer),
                    event.slot,
                    event.csrc,
                    event.timestamp,
                    encoding=event.encoding,
                    spatial=event.spatial,
                    temporal=event.temporal,
                    limit=event.limit,
                )
            case Event.Encodings(peer=peer, csrc=csrc, wanted=wanted):
                self._directory.wants_encodings(PeerHandle(peer), csrc, wanted)
            case Event.Connected(peer=peer):
                return self._directory.connected(PeerHandle(peer))
            case Event.Closed(peer=peer, reason=reason):
                log.info("peer closed", peer=peer, reason=reason)
                return self._closed(PeerHandle(peer), reason)
        return []

    def _closed(self, peer: PeerHandle, reason: str) -> list[Effect]:
        transport, stay = self._transports.pop(peer, None), self._directory.stay_of(peer)
        if transport is not None and stay is not None:
            self._lost[stay.session_id] = transport
        return self._directory.closed(peer, reason, time.monotonic())

    async def _obey(self) -> None:
        async for command in self._link.commands():
            self._perform(self._follow(command))

    def _follow(self, command: MediaCommand) -> list[Effect]:
        match command:
            case EndSession(session_id, reason):
                return self._directory.end(session_id, reason, time.monotonic())
            case MuteSession(session_id, muted):
                return self._directory.mute(session_id, muted, by_server=True)
            case DeafenSession(session_id, deafened):
                return self._directory.deafen(session_id, deafened, by_server=True)
            case MoveSession(session_id, channel_id):
                return self._directory.move(session_id, channel_id)

    async def _report(self) -> None:
        while True:
            event = await self._reports.get()
            try:
                await self._link.send(event)
            finally:
                self._reports.task_done()

    def _perform(self, effects: Iterable[Effect]) -> None:
        """These, and what is due now; then sleep until something is due again."""
        now = time.monotonic()
        for effect in (*effects, *self._directory.tick(now)):
            match effect:
                case Tell(to, frame):
                    text = encode(frame)
                    for client in filter(None, map(self._clients.get, to)):
                        client.tell(text)
                case Report(event):
                    self._reports.put_nowait(event)
                    if isinstance(event, SessionEnded):
                        self._lost.pop(event.session_id, None)
                        self._whip.over(event.session_id)
                case Hang(session_id):
                    if (gone := self._clients.pop(session_id, None)) is not None:
                        gone.hang_up()
                case _:
                    with suppress(RuntimeError):  # an engine that failed has no peers
                        self._command(effect)
        if self._alarm is not None:
            self._alarm.cancel()
        due = self._directory.due
        self._alarm = None if due is None else asyncio.get_running_loop().call_later(due - now, self._perform, ())

    def _command(self, effect: Command) -> None:
        match effect:
            case RemovePeer(peer):
                self._transports.pop(peer, None)
                self.engine.remove_peer(peer)
            case MovePeer(peer, room):
                self.engine.move_peer(peer, room)
            case MutePeer(peer, muted):
                self.engine.set_muted(peer, muted)
            case DeafenPeer(peer, deafened):
                self.engine.set_deafened(peer, deafened)
            case IgnorePeers(peer, csrcs):
                self.engine.set_ignored(peer, csrcs)
            case SharePeer(peer, csrcs, silent):
                self.engine.set_sharing(peer, csrcs, silent)
            case WatchPeers(peer, wishes):
                wished = [(each.slot, each.csrc, each.width, each.priority, each.paused) for each in wishes]
                self.engine.watch(peer, wished)


def _parse(sdp: str) -> Offer:
    """Raises `Refusal`."""
    try:
        return Offer.parse(sdp)
    except BadOffer as wrong:
        raise Refusal("bad_offer", str(wrong)) from None


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _random_words() -> Iterator[int]:
    while True:
        yield secrets.randbits(32)
