"""Rate limits: token buckets. A core: it is told the time, in seconds of any clock that never goes backwards."""

import math
from collections import OrderedDict
from typing import Self

from msgspec import Struct


class Rate(Struct, frozen=True):
    """A bucket of `count` tokens that fills up evenly in `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `"10/60"`: ten within a minute. Raises `ValueError`."""
        count, _, seconds = text.partition("/")
        try:
            rate = cls(int(count), float(seconds))
        except ValueError:
            rate = cls(0, 0)
        if rate.count < 1 or not 0 < rate.seconds < math.inf:
            raise ValueError(f"{text!r} is not a rate such as 10/60 (ten within sixty seconds)")
        return rate


class Verdict(Struct, frozen=True):
    """What a bucket answered; the names are those of Discord's headers."""

    bucket: str
    limit: int
    remaining: int
    reset_after: float  # seconds until the bucket is full
    retry_after: float  # seconds until the next token; 0 when allowed

    @property
    def allowed(self) -> bool:
        return self.retry_after == 0.0


class Limiter:
    """One bucket a key. Forgets the keys that waited longest when there are too many: those are full or nearly so."""

    MAX_KEYS = 100_000  # about 20 MB; an attacker with more addresses than this is not stopped by counting addresses

    def __init__(self, bucket: str, rate: Rate) -> None:
        self.bucket = bucket
        self.rate = rate
        self._spacing = rate.seconds / rate.count
        # The generic cell rate algorithm (ITU-T I.371): per key, when its bucket will be full again.
        self._full_at: OrderedDict[object, float] = OrderedDict()

    def spend(self, key: object, now: float) -> Verdict:
        """Takes one token of `key`, if it has one. A refusal costs nothing."""
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at + self._spacing - self.rate.seconds - now
        if wait > 1e-9:  # less is rounding
            return Verdict(self.bucket, self.rate.count, 0, full_at - now, wait)
        full_at += self._spacing
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self.MAX_KEYS:
            self._full_at.popitem(last=False)
        remaining = int((self.rate.seconds - (full_at - now)) / self._spacing + 1e-9)
        return Verdict(self.bucket, self.rate.count, remaining, full_at - now, 0.0)
