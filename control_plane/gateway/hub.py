"""Fan-out within one node: from the bus and the log to every session that follows a topic.

For each followed topic the hub knows the last event it passed on. The next one goes straight from the bus to the
sessions; on a gap, and every second, it reads the log (DESIGN §6).
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from control_plane.bus.ports import BusMessage, TokenRevoked
from control_plane.events import LogEvent, StateChange
from control_plane.store.ports import CursorGone, Store, StoreUnavailable
from proto.ids import Topic

log = structlog.get_logger()

POLL_SECONDS = 1.0  # how late an event is at the most when its wake-up was lost
PAGE = 500  # events read at a time: at 4 kB each, 2 MB
MAX_TOPICS = 500  # asked about in one query


class Follower(Protocol):
    """A session, seen from here. None of these waits."""

    def pass_on(self, what: LogEvent | StateChange) -> None: ...
    def lose(self, topic: Topic) -> None:
        """Events of this topic are gone for good before they could be passed on."""

    def revoke(self) -> None: ...


@dataclass
class _Topic:
    last: int  # the last event passed on
    known: int  # the last event heard of
    followers: set[Follower] = field(default_factory=set)


class Hub:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._topics: dict[Topic, _Topic] = {}
        self._by_token: dict[bytes, set[Follower]] = defaultdict(set)
        self._gap = asyncio.Event()
        self.sessions = 0

    def join(self, follower: Follower, token_digest: bytes) -> None:
        """The follower has signed in with this token."""
        self._by_token[token_digest].add(follower)

    def follow(self, follower: Follower, topic: Topic, at: int) -> int:
        """Passes on what comes after `at`, and returns up to where the topic has been passed on already."""
        entry = self._topics.setdefault(topic, _Topic(at, at))
        entry.followers.add(follower)
        return entry.last

    def leave(self, follower: Follower, topics: Iterable[Topic], token_digest: bytes | None) -> None:
        for topic in topics:
            entry = self._topics.get(topic)
            if entry is not None:
                entry.followers.discard(follower)
                if not entry.followers:
                    del self._topics[topic]
        if token_digest is not None:
            self._by_token[token_digest].discard(follower)
            if not self._by_token[token_digest]:
                del self._by_token[token_digest]

    def receive(self, message: BusMessage) -> None:
        """From the bus."""
        if isinstance(message, TokenRevoked):
            for follower in list(self._by_token.get(message.digest, ())):
                follower.revoke()
            return
        entry = self._topics.get(message.topic)
        if entry is None:
            return
        if isinstance(message, StateChange):
            for follower in entry.followers:
                follower.pass_on(message)
            return
        entry.known = max(entry.known, message.n)
        if message.n == entry.last + 1:
            self._pass_on(entry, message)
        if entry.known > entry.last:
            self._gap.set()

    async def run(self) -> None:
        """Reads the log, on a gap and every second. Runs until cancelled."""
        clock = asyncio.get_running_loop()
        poll_at = clock.time() + POLL_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(poll_at):
                    await self._gap.wait()
                behind = [topic for topic, entry in self._topics.items() if entry.known > entry.last]
            except TimeoutError:
                behind = list(self._topics)
                poll_at = clock.time() + POLL_SECONDS
            self._gap.clear()
            try:
                await self._read(behind)
            except StoreUnavailable as wrong:
                log.warning("log not readable", reason=str(wrong))
                await asyncio.sleep(POLL_SECONDS)

    async def _read(self, topics: list[Topic]) -> None:
        for start in range(0, len(topics), MAX_TOPICS):
            some = topics[start : start + MAX_TOPICS]
            async with self._store.read() as view:
                heads = await view.heads(some)
                for topic, head in heads.items():
                    entry = self._topics.get(topic)
                    if entry is not None and head > entry.last:
                        try:
                            page = await view.events(topic, after=entry.last, limit=PAGE)
                        except CursorGone:
                            self._lose(topic)
                            continue
                        for event in page.events:
                            if event.n == entry.last + 1:  # not passed on meanwhile
                                self._pass_on(entry, event)
                        if page.more:
                            entry.known = max(entry.known, entry.last + 1)
                            self._gap.set()

    def _pass_on(self, entry: _Topic, event: LogEvent) -> None:
        entry.last = event.n
        for follower in entry.followers:
            follower.pass_on(event)

    def _lose(self, topic: Topic) -> None:
        entry = self._topics.pop(topic, None)
        if entry is not None:
            log.error("log cut off behind its reader", topic=topic)
            for follower in entry.followers:
                follower.lose(topic)
