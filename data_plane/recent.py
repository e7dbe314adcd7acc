"""What was noted a short while ago."""

from collections.abc import Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class Recent(Generic[KeyT]):
    """Keys noted in the last `seconds`. Times never go back, so the oldest is always in front."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._noted: dict[KeyT, float] = {}

    def note(self, key: KeyT, now: float) -> None:
        self._noted.pop(key, None)
        self._noted[key] = now
        self._forget(now)

    def holds(self, key: KeyT, now: float) -> bool:
        self._forget(now)
        return key in self._noted

    def discard(self, key: KeyT) -> None:
        self._noted.pop(key, None)

    def _forget(self, now: float) -> None:
        while self._noted:
            oldest = next(iter(self._noted))
            if self._noted[oldest] + self._seconds > now:
                return
            del self._noted[oldest]
