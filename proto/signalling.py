"""Voice signalling: the JSON text frames between a client and a media node (one WebSocket a stay).

The client sends `Join` first, with its grant and its SDP offer (the client always offers); the node answers `Joined` or
`Refused`. Either side may end the stay: the client by `Leave`, the node by `Ended`, after which it closes the socket.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

HEARTBEAT_MS = 500  # a dead node is noticed within two beats, long before ICE would
MAX_FRAME = 64 * 1024  # bytes; an offer with every slot preallocated is about 20 kB
AUDIO_SLOTS = 8  # more simultaneous voices than anyone can follow

Csrc = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
BeatId = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # what a number of JavaScript counts exactly


class Frame(Struct, tag_field="op", tag=str.lower, frozen=True, forbid_unknown_fields=False):
    """A frame's `op` is its class name in lower case."""


# client to node


class Join(Frame, frozen=True):
    grant: str
    offer: str  # SDP


class Mute(Frame, frozen=True):
    """The member's own microphone. The node enforces it: packets of a muted source go nowhere."""

    muted: bool


class Beat(Frame, frozen=True):
    """Sent by the client every `HEARTBEAT_MS`; returned by the node unchanged."""

    id: BeatId


class Leave(Frame, frozen=True):
    pass


FromClient = Join | Mute | Beat | Leave


# node to client


class Participant(Struct, frozen=True):
    session_id: UUID
    user_id: UUID
    csrc: Csrc  # the CSRC of every packet that carries this participant's microphone
    muted: bool = False


class SlotState(Struct, frozen=True):
    """Who is heard in a slot. The CSRC of the packets is the truth; this is for display."""

    mid: str  # of the receiving m-line
    csrc: Csrc | None  # None: the slot is free
    rtp_timestamp: int  # of the first packet of this content, in the slot's own timeline


class Joined(Frame, frozen=True):
    answer: str  # SDP
    session_id: UUID
    csrc: Csrc
    participants: list[Participant]  # the others and oneself
    heartbeat_ms: int = HEARTBEAT_MS


class Arrived(Frame, frozen=True):
    participant: Participant


class Changed(Frame, frozen=True):
    participant: Participant


class Departed(Frame, frozen=True):
    session_id: UUID


class Slots(Frame, frozen=True):
    slots: list[SlotState]  # only those that changed


class Refused(Frame, frozen=True):
    """The join did not happen and nothing was changed. `code` is one of `REFUSALS`."""

    code: str
    message: str


class Ended(Frame, frozen=True):
    """The stay is over. `reason`: left, replaced, removed, lost, shutdown."""

    reason: str


FromNode = Joined | Arrived | Changed | Departed | Slots | Beat | Refused | Ended

REFUSALS = {
    "bad_frame": "not a frame of this protocol",
    "bad_grant": "the grant is not one of ours",
    "expired_grant": "the grant has expired; join again",
    "used_grant": "the grant was used before; join again",
    "wrong_node": "the grant is for another node",
    "bad_offer": "the offer is not an SDP this node can answer",
    "full": "the node is full",
    # of WHIP and WHEP
    "unknown_key": "the bearer is neither a stream key nor a grant of ours",
    "wrong_channel": "the bearer is for another channel",
    "unknown_channel": "there is no such channel",
    "too_many": "too many sessions were made with this stream key",
    "unavailable": "the control plane cannot be asked now",
}
