"""The port."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from control_plane.events import LogEvent, StateChange


class TokenRevoked(Struct, frozen=True):
    """Sessions that came in with this token end."""

    digest: bytes


BusMessage = LogEvent | StateChange | TokenRevoked


class Bus(Protocol):
    def publish(self, message: BusMessage) -> None:
        """To every node, this one included. Never waits, never raises. A `LogEvent` is a wake-up: whoever misses it
        finds the event in the log."""

    def attach(self, receive: Callable[[BusMessage], None]) -> None:
        """Calls `receive` with whatever is published from now on."""
