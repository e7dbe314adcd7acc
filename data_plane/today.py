"""The engine as it is until its new Python API is here."""

from typing import Any

import chorale_engine

Peer, Slot, Source = chorale_engine.Peer, chorale_engine.Slot, chorale_engine.Source


class _Never:
    __match_args__ = ()


class Event:
    Connected, Closed, SlotChanged = (
        chorale_engine.Event.Connected,
        chorale_engine.Event.Closed,
        chorale_engine.Event.SlotChanged,
    )
    RoomSlot = Speaking = Dominant = _Never


class Engine:
    def __init__(self, **how: Any) -> None:
        self._engine = chorale_engine.Engine(**how)

    @property
    def addresses(self) -> Any:
        return [self._engine.addresses]

    def add_peer(self, **how: Any) -> int:
        self._engine.add_peer(**how)
        return 0

    def set_deafened(self, *_: Any) -> None: ...
    def set_ignored(self, *_: Any) -> None: ...
    def move_peer(self, *_: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)
