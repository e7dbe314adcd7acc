"""Chorale's media engine. `__init__.pyi` says what it promises."""

from ._engine import Engine, Event, Peer, Slot, Source, Srtp

__all__ = ["Engine", "Event", "Peer", "Slot", "Source", "Srtp"]
