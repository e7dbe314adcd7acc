"""What the directory wants done: values, performed by the node in the order in which they come."""

from dataclasses import dataclass
from typing import NewType
from uuid import UUID

from proto.media import MediaEvent
from proto.signalling import FromNode, Wish

PeerHandle = NewType("PeerHandle", int)
RoomHandle = NewType("RoomHandle", int)


@dataclass(frozen=True, slots=True)
class Tell:
    """One frame for these clients: encoded once, however many they are."""

    to: tuple[UUID, ...]  # session ids
    frame: FromNode


@dataclass(frozen=True, slots=True)
class Report:
    """An event for the control plane."""

    event: MediaEvent


@dataclass(frozen=True, slots=True)
class Hang:
    """The client's signalling socket must be closed, after what it was told."""

    session_id: UUID


# For the engine.


@dataclass(frozen=True, slots=True)
class RemovePeer:
    peer: PeerHandle


@dataclass(frozen=True, slots=True)
class MovePeer:
    peer: PeerHandle
    room: RoomHandle


@dataclass(frozen=True, slots=True)
class MutePeer:
    peer: PeerHandle
    muted: bool  # its microphone


@dataclass(frozen=True, slots=True)
class DeafenPeer:
    peer: PeerHandle
    deafened: bool


@dataclass(frozen=True, slots=True)
class IgnorePeers:
    """Whom `peer` is not sent: the whole set."""

    peer: PeerHandle
    csrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharePeer:
    """What `peer` shares now, the whole set: its camera by its CSRC, its screen and the sound of that by the other.
    `silent`: not that sound."""

    peer: PeerHandle
    csrcs: tuple[int, ...]
    silent: bool = False


@dataclass(frozen=True, slots=True)
class WatchPeers:
    """What `peer` is to see, the whole set."""

    peer: PeerHandle
    wishes: tuple[Wish, ...]


Command = RemovePeer | MovePeer | MutePeer | DeafenPeer | IgnorePeers | SharePeer | WatchPeers
Effect = Tell | Report | Hang | Command
