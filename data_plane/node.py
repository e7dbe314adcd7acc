"""A media node: the engine, the directory of who is in which room, and the link to the control plane."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import structlog
from chorale_engine import Engine, Event, Peer, Slot, Source
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.routing import BaseRoute, WebSocketRoute

from data_plane.addresses import doubts, offered
from data_plane.directory import (
    Directory,
    Effect,
    GrantUsed,
    Hang,
    PeerHandle,
    RemovePeer,
    Report,
    RoomHandle,
    Stay,
    Tell,
)
from data_plane.grants import BadGrant, verify
from data_plane.link import Link, LinkDown
from data_plane.sdp import AudioLine, BadOffer, Candidate, Local, Offer, Role, describe
from data_plane.selfcheck import Target, describe_silence, silent
from data_plane.settings import NodeSettings
from data_plane.signalling import Client, Refusal, Signalling
from data_plane.stats import stats_route
from data_plane.whip import Restarted, whip_routes
from proto.ice import IceConfig
from proto.media import Authorize, Claims, Denied, EndReason, MediaEvent, SessionEnded
from proto.rest import IceServer
from proto.signalling import AUDIO_SLOTS, FromNode, Join, Joined

log = structlog.get_logger()

SIGNALLING_PATH = "/media/signalling"

# Stays on one node; the engine's own limits come with the measured capacity of a worker.
MAX_STAYS = 20_000
EVENTS_AT_ONCE = 1024
# Seconds for saying goodbye: clients read it at once or not at all.
FAREWELL = 1


class Told(Protocol):
    """Whoever hears what becomes of a stay."""

    def tell(self, frame: FromNode) -> None: ...
    def hang_up(self) -> None:
        """The stay is over."""


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
        self._directory = Directory()
        self._clients: dict[UUID, Told] = {}
        self._engine: Engine | None = None
        self._reports: asyncio.Queue[MediaEvent] = asyncio.Queue()
        self._signalling = Signalling(self)
        self._open = False  # to new stays
        self._parting: asyncio.Task[None] | None = None

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
        return offered(self.engine.addresses[worker], self._settings.announce, tcp=self.listens_by_tcp)

    @property
    def ports(self) -> list[int]:
        """Of the workers; each has the same on every address."""
        return [bound[0][1] for bound in self.engine.addresses]

    @property
    def listens_by_tcp(self) -> bool:
        return self._settings.tcp

    @property
    def told(self) -> list[str]:
        """The addresses that clients are told, most preferred first."""
        return [each.address for each in self._candidates(0) if not each.tcp]

    async def doubts(self, *, exposed: bool) -> list[str]:
        """Sentences on why clients will not reach this node, if they will not. `exposed`: its page is served beyond
        this machine. Takes a second when something is wrong."""
        found = doubts(self._settings.addresses, self._settings.announce, exposed=exposed)
        return [*found, *describe_silence(await self._silent(), self.ports)]

    async def _silent(self) -> list[Target]:
        """The sockets of the engine that do not answer a peer made for this."""
        targets: list[Target] = []
        peers: list[PeerHandle] = []
        try:
            for _ in self.engine.addresses:
                ufrag, password, client_ufrag = secrets.token_hex(8), secrets.token_hex(16), secrets.token_hex(4)
                handle = PeerHandle(self._directory.handle())
                config = Peer(
                    local_ufrag=ufrag,
                    local_password=password,
                    remote_ufrag=client_ufrag,
                    remote_password=secrets.token_hex(16),
                    fingerprints=[("sha-256", secrets.token_bytes(32))],
                    cname="",
                )
                worker = self.engine.add_peer(room=self._directory.handle(), peer=handle, config=config)
                peers.append(handle)
                places = offered(self.engine.addresses[worker], (), tcp=self.listens_by_tcp)
                targets += [Target(each.address, each.port, ufrag, password, client_ufrag, each.tcp) for each in places]
            return await silent(targets)
        finally:
            for peer in peers:
                self.engine.remove_peer(peer)

    def routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute(SIGNALLING_PATH, self._signalling), *whip_routes(self), stats_route(self.counters)]

    def counters(self) -> dict[str, int]:
        """The engine's, and gauges of our own: stays, and open signalling sockets, before their join too."""
        return {**self.engine.counters(), "stays": len(self._directory), "sockets": self._signalling.sockets}

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
            self._parting = asyncio.create_task(self._say_goodbye())
        return self._parting

    async def _say_goodbye(self) -> None:
        for done in (self._signalling.idle(), self._reports.join()):
            with suppress(TimeoutError):
                await asyncio.wait_for(done, FAREWELL)
        await self._link.close()

    # What clients ask, through `data_plane.signalling` and `data_plane.whip`.

    def join(self, frame: Join, client: Client) -> Joined:
        """Let a client in. Raises `Refusal`, and has then changed nothing."""
        claims = self._granted(frame.grant)
        try:
            offer = Offer.parse(frame.offer)
        except BadOffer as wrong:
            raise Refusal("bad_offer", str(wrong)) from None
        return self.enter(claims, offer, client)

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

    def enter(
        self, claims: Claims, offer: Offer, client: Told, *, publishes: bool = True, receives: bool = True
    ) -> Joined:
        """Raises `Refusal`, and has then changed nothing."""
        if not self._open or len(self._directory) >= MAX_STAYS:
            raise Refusal("full")
        microphone = offer.microphone if publishes else None
        slots = offer.slots(AUDIO_SLOTS) if receives else []
        try:
            mids = [line.mid for line in slots]
            stay = self._directory.join(claims, mids, random=_random_words(), now=time.monotonic())
        except GrantUsed:
            raise Refusal("used_grant") from None
        try:
            local = self._local(microphone, slots)
            config = _peer(stay, offer, local, microphone, slots)
            stay.worker = self.engine.add_peer(room=stay.room, peer=stay.peer, config=config)
        except ValueError as wrong:
            self._directory.undo(stay)
            raise Refusal("bad_offer", str(wrong)) from None
        except BaseException:
            self._directory.undo(stay)
            raise
        self._clients[stay.session_id] = client
        return Joined(
            answer=describe(offer, local, self._candidates(stay.worker)),
            session_id=stay.session_id,
            csrc=stay.csrc,
            participants=self._directory.participants(stay),
        )

    def _local(self, microphone: AudioLine | None, slots: Sequence[AudioLine]) -> Local:
        """Our side of a new transport: every secret and every SSRC its own."""
        return Local(
            ufrag=secrets.token_hex(8),
            password=secrets.token_hex(16),
            fingerprint=self.engine.fingerprint,
            cname=secrets.token_hex(8),
            source_mid=None if microphone is None else microphone.mid,
            slot_ssrcs=dict(zip((line.mid for line in slots), _distinct(len(slots)), strict=True)),
            session=secrets.randbits(62),
        )

    def restart_ice(self, session_id: UUID, *, ufrag: str, password: str) -> Restarted:
        """New credentials of the client are answered with new ones of ours. Raises ValueError, with nothing changed."""
        stay = self._directory.stay(session_id)
        if stay is None:
            raise ValueError("there is no such stay")
        ours = Restarted(secrets.token_hex(8), secrets.token_hex(16), self._candidates(stay.worker))
        self.engine.restart_ice(
            stay.peer,
            local_ufrag=ours.ufrag,
            local_password=ours.password,
            remote_ufrag=ufrag,
            remote_password=password,
        )
        return ours

    def ice_servers(self, session_id: UUID) -> Sequence[IceServer]:
        return self._ice.servers(session_id, datetime.now(UTC))

    def mute(self, session_id: UUID, muted: bool) -> None:
        stay = self._directory.stay(session_id)
        if stay is not None:
            self.engine.set_muted(stay.peer, muted)
            self._perform(self._directory.mute(session_id, muted))

    def left(self, session_id: UUID) -> None:
        self._perform(self._directory.leave(session_id, "left"))

    def lost(self, session_id: UUID) -> None:
        self._perform(self._directory.leave(session_id, "lost"))

    # What the engine and the control plane say.

    def _drain(self) -> None:
        try:
            events = self.engine.drain(EVENTS_AT_ONCE)
        except RuntimeError as failed:  # a thread of the engine died, and with it every transport
            log.critical("media engine failed", error=str(failed))
            asyncio.get_running_loop().remove_reader(self.engine.event_fd)
            self._part("lost")
            return
        changes: list[tuple[PeerHandle, int, int, int]] = []
        for event in events:
            match event:
                case Event.RoomSlot(room=room, slot=slot, csrc=csrc, timestamp=timestamp):
                    self._perform(self._directory.room_slot_changed(RoomHandle(room), slot, csrc, timestamp))
                case Event.SlotChanged(peer=peer, slot=slot, csrc=csrc, timestamp=timestamp):
                    changes.append((PeerHandle(peer), slot, csrc, timestamp))
                case Event.Connected(peer=peer):
                    self._perform(self._directory.connected(PeerHandle(peer)))
                case Event.Closed(peer=peer, reason=reason):
                    log.info("peer closed", peer=peer, reason=reason)
                    self._perform(self._directory.closed(PeerHandle(peer)))
        self._perform(self._directory.slots_changed(changes))

    async def _obey(self) -> None:
        async for command in self._link.commands():
            self._perform(self._directory.end(command.session_id, command.reason, time.monotonic()))

    async def _report(self) -> None:
        while True:
            event = await self._reports.get()
            try:
                await self._link.send(event)
            finally:
                self._reports.task_done()

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell(session_id, frame):
                    if (client := self._clients.get(session_id)) is not None:
                        client.tell(frame)
                case Report(event):
                    self._reports.put_nowait(event)
                case RemovePeer(peer):
                    with suppress(RuntimeError):  # an engine that failed has no peers
                        self.engine.remove_peer(peer)
                case Hang(session_id):
                    if (client := self._clients.pop(session_id, None)) is not None:
                        client.hang_up()


def _peer(stay: Stay, offer: Offer, local: Local, microphone: AudioLine | None, slots: Sequence[AudioLine]) -> Peer:
    """What the engine must know of a client. Raises ValueError."""
    return Peer(
        local_ufrag=local.ufrag,
        local_password=local.password,
        remote_ufrag=offer.ufrag,
        remote_password=offer.password,
        fingerprints=offer.fingerprints,
        active=Role.answering(offer.setup) is Role.ACTIVE,
        source=None
        if microphone is None
        else Source(
            csrc=stay.csrc,
            mid=microphone.mid,
            payload_type=microphone.payload_type,
            red_payload_type=microphone.red_payload_type,
            ssrc=microphone.ssrc,
            level_extension=microphone.level_extension,
            mid_extension=microphone.mid_extension,
        ),
        slots=[
            Slot(
                ssrc=local.slot_ssrcs[line.mid],
                payload_type=line.payload_type,
                red_payload_type=line.red_payload_type,
                nack=line.nack,
                level_extension=line.level_extension,
            )
            for line in slots
        ],
        cname=local.cname,
    )


def _random_words() -> Iterator[int]:
    while True:
        yield secrets.randbits(32)


def _distinct(count: int) -> list[int]:
    """SSRCs of one transport: not 0, no two alike (RFC 3550 §8.1)."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[secrets.randbits(32) or 1] = None
    return list(found)
