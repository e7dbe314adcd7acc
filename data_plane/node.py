"""A media node: the engine, the directory of who is in which room, and the link to the control plane."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from chorale_engine import Engine, Event, Peer, Slot, Source
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.routing import BaseRoute, WebSocketRoute

from data_plane.directory import Directory, Effect, GrantUsed, Hang, PeerHandle, RemovePeer, Report, Tell
from data_plane.grants import BadGrant, verify
from data_plane.link import Link
from data_plane.sdp import BadOffer, Local, Offer, describe
from data_plane.sdp.offer import Role
from data_plane.settings import NodeSettings
from data_plane.signalling import Client, Refusal, Signalling
from data_plane.stats import stats_route
from proto.media import MediaEvent
from proto.signalling import AUDIO_SLOTS, Join, Joined

log = structlog.get_logger()

SIGNALLING_PATH = "/media/signalling"

# Stays on one node; the engine's own limits come with the measured capacity of a worker.
MAX_STAYS = 20_000
EVENTS_AT_ONCE = 1024


class Node:
    """`running()` is its life; everything else works only inside of it."""

    def __init__(self, settings: NodeSettings, *, node_id: str, link: Link, grant_key: Ed25519PublicKey) -> None:
        self._settings, self._node_id, self._link, self._grant_key = settings, node_id, link, grant_key
        self._directory = Directory()
        self._clients: dict[UUID, Client] = {}
        self._engine: Engine | None = None
        self._reports: asyncio.Queue[MediaEvent] = asyncio.Queue()

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the node is not running")
        return self._engine

    @property
    def announced(self) -> list[str]:
        """Where clients are told to send media, as address:port."""
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.engine.addresses]

    def routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute(SIGNALLING_PATH, Signalling(self)), stats_route(self.counters)]

    def counters(self) -> dict[str, int]:
        return {**self.engine.counters(), "stays": len(self._directory), "clients": len(self._clients)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises OSError when an address cannot be bound."""
        loop = asyncio.get_running_loop()
        self._engine = engine = Engine(
            addresses=self._settings.addresses, port=self._settings.port, audio_slots=AUDIO_SLOTS
        )
        loop.add_reader(engine.event_fd, self._drain)
        tasks = [asyncio.create_task(self._obey()), asyncio.create_task(self._report())]
        log.info("media node up", addresses=self.announced)
        try:
            yield
        finally:
            self.shut_down()
            loop.remove_reader(engine.event_fd)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            engine.close()
            log.info("media node down")

    def shut_down(self) -> None:
        """Tell every client that its stay is over. Idempotent."""
        self._perform(self._directory.shut_down())

    # What clients ask, through `data_plane.signalling`.

    def join(self, frame: Join, client: Client) -> Joined:
        """Let a client in. Raises `Refusal`, and has then changed nothing but that a spent grant stays spent."""
        try:
            claims = verify(frame.grant, key=self._grant_key, node_id=self._node_id)
            offer = Offer.parse(frame.offer)
            if len(self._directory) >= MAX_STAYS:
                raise Refusal("full")
            self._directory.spend(claims, time.monotonic())
        except BadGrant as wrong:
            raise Refusal(wrong.code) from None
        except BadOffer as wrong:
            raise Refusal("bad_offer", str(wrong)) from None
        except GrantUsed:
            raise Refusal("used_grant") from None
        lines = offer.audio
        slots = [line for line in lines if line.receives][:AUDIO_SLOTS]
        stay = self._directory.join(claims, [line.mid for line in slots], _random_words())
        source = next((line for line in lines if line.sends), None)
        ssrcs = _distinct(len(slots))
        local = Local(
            ufrag=secrets.token_hex(8),
            password=secrets.token_hex(16),
            fingerprint=self.engine.fingerprint,
            candidates=self.engine.addresses,
            cname=secrets.token_hex(8),
            source_mid=source and source.mid,
            slot_ssrcs={line.mid: ssrc for line, ssrc in zip(slots, ssrcs, strict=True)},
            session=secrets.randbits(62),
        )
        try:
            self.engine.add_peer(
                room=stay.room,
                peer=stay.peer,
                config=Peer(
                    local_ufrag=local.ufrag,
                    local_password=local.password,
                    remote_ufrag=offer.ufrag,
                    remote_password=offer.password,
                    fingerprints=offer.fingerprints,
                    active=Role.answering(offer.setup) is Role.ACTIVE,
                    source=source
                    and Source(
                        csrc=stay.csrc,
                        mid=source.mid,
                        payload_type=source.payload_type,
                        ssrc=source.ssrc,
                        level_extension=source.level_extension,
                        mid_extension=source.mid_extension,
                    ),
                    slots=[
                        Slot(ssrc=ssrc, payload_type=line.payload_type, level_extension=line.level_extension)
                        for line, ssrc in zip(slots, ssrcs, strict=True)
                    ],
                    cname=local.cname,
                ),
            )
        except ValueError as wrong:
            self._directory.leave(stay.session_id, "lost")
            raise Refusal("bad_offer", str(wrong)) from None
        self._clients[stay.session_id] = client
        return Joined(
            answer=describe(offer, local),
            session_id=stay.session_id,
            csrc=stay.csrc,
            participants=self._directory.participants(stay),
        )

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
        changes: list[tuple[PeerHandle, int, int, int]] = []
        for event in self.engine.drain(EVENTS_AT_ONCE):
            match event:
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
            await self._link.send(await self._reports.get())

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell(session_id, frame):
                    if (client := self._clients.get(session_id)) is not None:
                        client.tell(frame)
                case Report(event):
                    self._reports.put_nowait(event)
                case RemovePeer(peer):
                    self.engine.remove_peer(peer)
                case Hang(session_id):
                    if (client := self._clients.pop(session_id, None)) is not None:
                        client.hang_up()


def _random_words() -> Iterator[int]:
    while True:
        yield secrets.randbits(32)


def _distinct(count: int) -> list[int]:
    """SSRCs of one transport: not 0, no two alike (RFC 3550 §8.1)."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[secrets.randbits(32) or 1] = None
    return list(found)
