"""A media node: the engine, the directory of who is in which room, and the link to the control plane."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

import structlog
from chorale_engine import Engine, Event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.routing import BaseRoute, WebSocketRoute

from data_plane.directory import BadToken, Directory, GrantUsed
from data_plane.effects import (
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
    Tell,
)
from data_plane.grants import BadGrant, verify
from data_plane.link import Link
from data_plane.sdp import BadOffer, Offer
from data_plane.settings import NodeSettings
from data_plane.signalling import Client, Refusal, Signalling, encode
from data_plane.stats import stats_route
from data_plane.stays import Stay
from data_plane.transports import Transport
from proto.media import (
    Claims,
    DeafenSession,
    EndReason,
    EndSession,
    MediaCommand,
    MediaEvent,
    MoveSession,
    MuteSession,
    SessionEnded,
)
from proto.signalling import AUDIO_SLOTS, TAKEN_OVER, Join, Joined

log = structlog.get_logger()

SIGNALLING_PATH = "/media/signalling"

# Stays on one node; the engine's own limits come with the measured capacity of a worker.
MAX_STAYS = 20_000
EVENTS_AT_ONCE = 1024
# Seconds for saying goodbye: clients read it at once or not at all.
FAREWELL = 1


class Node:
    """`running()` is its life; everything else works only inside of it."""

    def __init__(self, settings: NodeSettings, *, node_id: str, link: Link, grant_key: Ed25519PublicKey) -> None:
        self._settings, self._node_id, self._link, self._grant_key = settings, node_id, link, grant_key
        self._directory = Directory()
        self._clients: dict[UUID, Client] = {}  # by session, while its socket is open
        self._transports: dict[PeerHandle, Transport] = {}
        self._lost: dict[UUID, Transport] = {}  # by session: the last one that the engine lost
        self._engine: Engine | None = None
        self._reports: asyncio.Queue[MediaEvent] = asyncio.Queue()
        self._signalling = Signalling(self)
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
        """Where clients are told to send media, as address:port."""
        candidates = (self._candidates(worker) for worker in range(len(self.engine.addresses)))
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for each in candidates for host, port in each]

    def _candidates(self, worker: int) -> list[tuple[str, int]]:
        bound = self.engine.addresses[worker]
        return [(host, bound[0][1]) for host in self._settings.announce] or bound

    def routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute(SIGNALLING_PATH, self._signalling), stats_route(self.counters)]

    def counters(self) -> dict[str, int]:
        """The engine's, and gauges of our own: stays, and open signalling sockets, before their join too."""
        return {**self.engine.counters(), "stays": len(self._directory), "sockets": self._signalling.sockets}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Once. Raises OSError when an address cannot be bound."""
        loop = asyncio.get_running_loop()
        self._engine = engine = Engine(
            addresses=self._settings.addresses, port=self._settings.port, audio_slots=AUDIO_SLOTS
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

    # What clients ask, through `data_plane.signalling`.

    def join(self, frame: Join, client: Client) -> UUID:
        """Let a client in, and tell it. The session's id. Raises `Refusal`, and has then changed nothing."""
        try:
            claims = verify(frame.grant, key=self._grant_key, node_id=self._node_id)
        except BadGrant as wrong:
            raise Refusal(wrong.code) from None
        stay, answer = self.enter(claims, frame.offer, client)
        joined = Joined(
            answer=answer,
            session_id=stay.session_id,
            csrc=stay.csrc,
            participants=self._directory.participants(stay),
            slots=stay.slots,
            token=stay.token,
        )
        client.tell(encode(joined))
        return stay.session_id

    def enter(self, claims: Claims, sdp: str, client: Client | None) -> tuple[Stay, str]:
        """A stay and the answer to its offer. Without a `client` it lives and dies with its transport. Raises
        `Refusal`, and has then changed nothing."""
        offer = _parse(sdp)
        if not self._open or len(self._directory) >= MAX_STAYS:
            raise Refusal("full")
        transport = Transport.answering(offer, fingerprint=self.engine.fingerprint)
        try:
            stay = self._directory.join(
                claims,
                transport.slots,
                secret=_secret(),
                random=_random_words(),
                now=time.monotonic(),
                signalled=client is not None,
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
        transport = Transport.answering(offer, fingerprint=self.engine.fingerprint)
        answer = self._add(stay, handle, transport)
        self._perform(self._directory.renew(stay, handle, transport.slots))
        return answer

    def _add(self, stay: Stay, handle: PeerHandle, transport: Transport) -> str:
        """A new peer of the engine. The answer to its offer. Raises `Refusal`."""
        try:
            worker = self.engine.add_peer(room=stay.room.handle, peer=handle, config=transport.peer(stay.csrc))
        except ValueError as wrong:
            raise Refusal("bad_offer", str(wrong)) from None
        return self._keep(handle, replace(transport, worker=worker))

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

    def _command(self, effect: RemovePeer | MovePeer | MutePeer | DeafenPeer | IgnorePeers) -> None:
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
