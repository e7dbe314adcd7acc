"""Voice signalling: the JSON text frames between a client and a media node.

The client sends `Join` first, with its grant and its SDP offer (the client always offers); the node answers `Joined` or
`Refused`. Either side may end the stay: the client by `Leave`, the node by `Ended`, after which it closes the socket.

A socket that breaks does not end the stay: media goes on, and within `RESUME_SECONDS` a new socket whose first frame is
`Resume` takes it over. Only code 1001 means that the client has left: browsers close a page's sockets so. A transport
that breaks does not end the stay either while the socket lives: the client offers again.

Everything that can be heard or seen is named by a CSRC. A stay has two: `csrc`, of its microphone and its camera, and
`screen_csrc`, of its screen and the sound of that. A client says by `Share` what it sends beside its microphone, and
by `Watch` what it wants to see in which of its video slots; one that never sent a `Watch` is shown who speaks, or what
else there is to see.
"""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from proto.rest import Shared

HEARTBEAT_MS = 500  # a dead node is noticed within two beats, long before ICE would
RESUME_SECONDS = 30  # how long a stay outlives its socket, or its transport
MAX_FRAME = 160 * 1024  # bytes; an offer with every slot preallocated is about 70 kB, as browsers write it
AUDIO_SLOTS = 8  # more simultaneous voices than anyone can follow
VIDEO_SLOTS = 9  # a grid of three by three; the video of more people at once is for nobody
MAX_ENCODINGS = 3  # of one camera or screen: what browsers send
MAX_WIDTH = 7680  # pixels: nobody has a screen of more
LOOKS_PER_WINDOW = 100  # `Share` and `Watch` in ten seconds: a window that is being resized, throttled
MAX_IGNORED = 256  # members one may have muted for oneself: more than anyone clicks
TAKEN_OVER = 4001  # close code of a socket whose stay goes on with another one

Csrc = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
SlotIndex = Annotated[int, Meta(ge=0, le=255)]
Token = Annotated[str, Meta(max_length=256)]
BeatId = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # what a number of JavaScript counts exactly
Limit = Literal["bandwidth", "source", "codec"]


class Frame(Struct, tag_field="op", tag=str.lower, frozen=True, forbid_unknown_fields=False):
    """A frame's `op` is its class name in lower case."""


# client to node


class Join(Frame, frozen=True):
    grant: str
    offer: str  # SDP


class Resume(Frame, frozen=True):
    """The first frame of a new socket: it takes the stay over, also from a socket that is still open."""

    token: Token  # of the last `Joined` or `Resumed`; it works once


class Offer(Frame, frozen=True):
    """An offer for a stay that goes on, answered by `Answer` or `Refused`: an ICE restart when its DTLS fingerprint is
    that of the present transport, and else a new transport, which replaces the present one once it is connected."""

    offer: str  # SDP


class Mute(Frame, frozen=True):
    """The member's own microphone, not the sound of its screen. The node enforces it: packets of a muted source go
    nowhere."""

    muted: bool


class Deafen(Frame, frozen=True):
    """The member's own ears: no sound is sent to it. Its microphone is another matter, and so is what it sees."""

    deafened: bool


class Ignore(Frame, frozen=True):
    """Whom the member does not want to hear, the whole set; nobody else learns of it. Unknown ones are left out."""

    csrcs: Annotated[list[Csrc], Meta(max_length=MAX_IGNORED)]


class Share(Frame, frozen=True):
    """What is published now beside the microphone, the whole set. What has no m-line of its own is left out: the first
    video m-line that sends is the camera, the second the screen; the second audio m-line that sends is the screen's
    sound. Without the permission it is answered by `Refused` (`no_video`)."""

    sources: Annotated[list[Shared], Meta(max_length=3)]


class Wish(Struct, frozen=True):
    """What one video slot is to show."""

    slot: Annotated[int, Meta(ge=0, lt=VIDEO_SLOTS)]  # among the video m-lines on which the node sends, in their order
    csrc: Csrc
    width: Annotated[int, Meta(ge=1, le=MAX_WIDTH)]  # as drawn: CSS pixels times the device's ratio
    priority: Annotated[int, Meta(ge=0, le=255)] = 0  # higher ones are served first, among equals the lower slot
    paused: bool = False  # keeps the slot, and nothing is sent


class Watch(Frame, frozen=True):
    """What is to be seen, the whole set: a slot without a wish is empty. The first of two wishes for a slot counts; one
    for a CSRC that is not there is fulfilled once it is. A move voids them all."""

    slots: Annotated[list[Wish], Meta(max_length=VIDEO_SLOTS)]


class Beat(Frame, frozen=True):
    """Sent by the client every `HEARTBEAT_MS`; returned by the node unchanged."""

    id: BeatId


class Leave(Frame, frozen=True):
    pass


FromClient = Join | Resume | Offer | Mute | Deafen | Ignore | Share | Watch | Beat | Leave


# node to client


class Participant(Struct, frozen=True):
    session_id: UUID
    user_id: UUID
    csrc: Csrc  # of every packet of its microphone and camera; unique on the node, the same for the whole stay
    screen_csrc: Csrc  # the same of its screen and the screen's sound
    muted: bool = False  # its microphone
    deafened: bool = False
    server_muted: bool = False  # its microphone and its screen's sound
    server_deafened: bool = False
    sources: list[Shared] = []  # what it shares


class SlotState(Struct, frozen=True):
    """Who is heard in a slot. The CSRC of the packets is the truth; this is for display.

    Members with all slots share one map, so one's own csrc may stand in it: oneself hears nothing there.
    """

    slot: SlotIndex  # among the m-lines on which the node sends, in the offer's order
    csrc: Csrc | None  # None: the slot is free; a `csrc` or a `screen_csrc`
    rtp_timestamp: int  # of the first packet of this content, in the slot's own timeline


class VideoState(Struct, frozen=True):
    """What is seen in a video slot. The CSRC of the packets is the truth; this is for display."""

    slot: int  # among the video m-lines on which the node sends, in the offer's order
    csrc: Csrc | None  # None: nothing is sent
    rtp_timestamp: int  # of the first packet of this content, in the slot's own timeline (90 kHz)
    encoding: int = 0  # of those the source sends, 0 the smallest
    spatial: int = 0  # layers inside of it: the highest that are sent
    temporal: int = 0
    # Why it is less than was wished for: the way to this client carries no more, the source sends nothing better, or
    # the client cannot decode it (yet).
    limit: Limit | None = None


class Joined(Frame, frozen=True):
    answer: str  # SDP
    session_id: UUID
    csrc: Csrc
    screen_csrc: Csrc
    participants: list[Participant]  # the others and oneself
    slots: list[SlotState]  # all that were ever held
    videos: list[VideoState]  # none yet
    token: str
    heartbeat_ms: int = HEARTBEAT_MS


class Resumed(Frame, frozen=True):
    session_id: UUID
    channel_id: UUID
    csrc: Csrc
    screen_csrc: Csrc
    participants: list[Participant]
    slots: list[SlotState]
    videos: list[VideoState]
    token: str
    restart: bool  # the transport is gone: as `Restart`


class Answer(Frame, frozen=True):
    answer: str  # SDP


class Restart(Frame, frozen=True):
    """The node lost the transport: send an `Offer` with a new one within `RESUME_SECONDS`."""


class Moved(Frame, frozen=True):
    """Oneself, to another room. The transport is the same; what was known of the old room is void."""

    channel_id: UUID
    participants: list[Participant]
    slots: list[SlotState]
    videos: list[VideoState]


class Arrived(Frame, frozen=True):
    participant: Participant


class Changed(Frame, frozen=True):
    """Another's, or one's own by a command of the control plane."""

    participant: Participant


class Departed(Frame, frozen=True):
    session_id: UUID


class Slots(Frame, frozen=True):
    slots: list[SlotState]  # only those that changed


class Videos(Frame, frozen=True):
    videos: list[VideoState]  # only those that changed


class Produce(Frame, frozen=True):
    """To one who shares its camera or screen, at once and on every change: what to send of it. The codec is one that
    the others can decode (`RTCRtpEncodingParameters.codec`); encodings that nobody sees can be left out (`active`)."""

    source: Literal["camera", "screen"]
    codec: str  # vp8, vp9, h264, av1
    encodings: list[bool]  # by encoding, the smallest first: whether it is wanted


class Speakers(Frame, frozen=True):
    """The whole state, when it changed, at most four times a second."""

    speaking: list[Csrc]
    dominant: Csrc | None


class Refused(Frame, frozen=True):
    """What was asked did not happen. To `Join`, `Resume` and what is no frame the socket closes; after an `Offer` the
    stay and its present transport go on. `code` is one of `REFUSALS`."""

    code: str
    message: str


class Ended(Frame, frozen=True):
    """The stay is over. `reason`: left, replaced, removed, lost, shutdown."""

    reason: str


FromNode = (
    Joined
    | Resumed
    | Answer
    | Restart
    | Moved
    | Arrived
    | Changed
    | Departed
    | Slots
    | Videos
    | Produce
    | Speakers
    | Beat
    | Refused
    | Ended
)

REFUSALS = {
    "bad_frame": "not a frame of this protocol",
    "bad_grant": "the grant is not one of ours",
    "expired_grant": "the grant has expired; join again",
    "used_grant": "the grant was used before; join again",
    "wrong_node": "the grant is for another node",
    "bad_token": "there is no stay to resume with this token; join again",
    "bad_offer": "the offer is not an SDP this node can answer",
    "too_many_offers": "too many offers; wait a minute",
    "full": "the node is full",
    "no_video": "you may not share your camera or screen here",
    # of WHIP and WHEP
    "unknown_key": "the bearer is neither a stream key nor a grant of ours",
    "wrong_channel": "the bearer is for another channel",
    "unknown_channel": "there is no such channel",
    "too_many": "too many sessions were made with this stream key",
    "unavailable": "the control plane cannot be asked now",
}
