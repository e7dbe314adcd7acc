"""The bus of a single process: a call."""

from collections.abc import Callable

from control_plane.bus.ports import BusMessage


class LocalBus:
    def __init__(self) -> None:
        self._receivers: list[Callable[[BusMessage], None]] = []

    def publish(self, message: BusMessage) -> None:
        for receive in self._receivers:
            receive(message)

    def attach(self, receive: Callable[[BusMessage], None]) -> None:
        self._receivers.append(receive)
