"""Chorale's media engine. `__init__.pyi` says what it promises."""

from ._engine import Engine, Event, Peer, Slot, Source, Srtp, VideoCodec, VideoSlot, VideoSource

__all__ = ["Engine", "Event", "Peer", "Slot", "Source", "Srtp", "VideoCodec", "VideoSlot", "VideoSource"]
