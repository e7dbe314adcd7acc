"""Ids: UUIDs that sort by time and map onto 64-bit snowflakes in the same order.

UUID version 8 (RFC 9562 §5.8), from the most significant bit:

| bits | 48 | 4 | 12 | 2 | 10 | 52 |
| --- | --- | --- | --- | --- | --- | --- |
| | Unix milliseconds | version 8 | sequence | variant 0b10 | worker | zero |

Snowflake: `(ms - EPOCH_MS) << 22 | sequence << 10 | worker`. Every id maps both ways, because only ids that have a
snowflake are ids here. Ids are guessable: they name a thing, they never grant it.

Time is counted in microseconds where ids are minted: the sequence of an id made here is the microsecond within its
millisecond (0 to 999), so that "later than that id" is a comparison of two integers, whichever worker made them.
"""

from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
ServerId = NewType("ServerId", UUID)
ChannelId = NewType("ChannelId", UUID)
MessageId = NewType("MessageId", UUID)
SessionId = NewType("SessionId", UUID)  # a voice session
StreamKeyId = NewType("StreamKeyId", UUID)
Topic = NewType("Topic", str)  # a guild or a user as a stream of events

EPOCH_MS = 1_420_070_400_000  # 2015-01-01, Discord's: its client libraries read the right time from our snowflakes
MAX_SEQUENCE = (1 << 12) - 1
MAX_WORKER = (1 << 10) - 1
MAX_MS = EPOCH_MS + (1 << 42) - 1  # the last millisecond that has a snowflake: the year 2154

_VERSION = 8 << 76
_VARIANT = 0b10 << 62
_FIXED = (0xF << 76) | (0b11 << 62) | ((1 << 52) - 1)  # bits that are the same in every id
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidId(ValueError):
    """Not one of our ids: not a UUID, of another version, or without a snowflake."""


def make_id(ms: int, sequence: int, worker: int) -> UUID:
    """The id of these three numbers. Raises `InvalidId` if one is out of its range."""
    if not EPOCH_MS <= ms <= MAX_MS:
        raise InvalidId(f"{ms} ms has no snowflake")
    if not 0 <= sequence <= MAX_SEQUENCE:
        raise InvalidId(f"sequence {sequence} is not within 0 to {MAX_SEQUENCE}")
    if not 0 <= worker <= MAX_WORKER:
        raise InvalidId(f"worker {worker} is not within 0 to {MAX_WORKER}")
    return UUID(int=ms << 80 | _VERSION | sequence << 64 | _VARIANT | worker << 52)


def check_id(value: UUID) -> UUID:
    """`value` itself if it is one of our ids; raises `InvalidId` if not."""
    if value.int & _FIXED != _VERSION | _VARIANT:
        raise InvalidId("not an id of version 8")
    if not EPOCH_MS <= value.int >> 80 <= MAX_MS:
        raise InvalidId("an id from outside our time")
    return value


def parse_id(text: str) -> UUID:
    """An id from its canonical text (RFC 9562 §4; either case). Raises `InvalidId`."""
    try:
        value = UUID(text)
    except ValueError:
        raise InvalidId("not a UUID") from None
    if str(value) != text.lower():
        raise InvalidId("not the canonical form of a UUID")
    return check_id(value)


def sequence_of(value: UUID) -> int:
    return value.int >> 64 & MAX_SEQUENCE


def worker_of(value: UUID) -> int:
    return value.int >> 52 & MAX_WORKER


def ms_of(value: UUID) -> int:
    """Unix milliseconds at which the id was made."""
    return value.int >> 80


def time_of(value: UUID) -> datetime:
    """When the id was made, in UTC, to the millisecond."""
    return _UNIX_EPOCH + timedelta(milliseconds=ms_of(value))


def to_snowflake(value: UUID) -> int:
    """0 to 2**64 - 1, in the order of the ids. Raises `InvalidId` for a UUID that is not an id."""
    check_id(value)
    return ms_of(value) - EPOCH_MS << 22 | sequence_of(value) << 10 | worker_of(value)


def from_snowflake(snowflake: int) -> UUID:
    """The inverse of `to_snowflake`. Raises `InvalidId` beyond 64 bits."""
    if not 0 <= snowflake < 1 << 64:
        raise InvalidId("a snowflake has 64 bits")
    return make_id((snowflake >> 22) + EPOCH_MS, snowflake >> 10 & MAX_SEQUENCE, snowflake & MAX_WORKER)


def guild_topic(server_id: UUID) -> Topic:
    return Topic(f"guild:{server_id}")


def user_topic(user_id: UUID) -> Topic:
    return Topic(f"user:{user_id}")


class Minter:
    """Makes the ids of one worker: each later than all before, whatever the clock does."""

    def __init__(self, worker: int, last_us: int = 0) -> None:
        """`last_us`: the Unix microsecond of the last id this worker made in an earlier life."""
        if not 0 <= worker <= MAX_WORKER:
            raise InvalidId(f"worker {worker} is not within 0 to {MAX_WORKER}")
        self._worker = worker
        self._last_us = last_us

    def next_us(self, now_us: int) -> int:
        """The earliest microsecond that the next id may have. Takes nothing."""
        return max(now_us, self._last_us + 1)

    def take(self, us: int) -> UUID:
        """The id of this microsecond. Raises `ValueError` if it would go backwards."""
        if us <= self._last_us:
            raise ValueError("ids never go backwards")
        made = make_id(us // 1000, us % 1000, self._worker)
        self._last_us = us
        return made

    def mint(self, now_us: int) -> UUID:
        return self.take(self.next_us(now_us))
