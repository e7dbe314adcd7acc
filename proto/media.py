"""What control plane and media nodes tell each other, whatever carries it: a pipe in one process, the bus between."""

from typing import Literal
from uuid import UUID

from msgspec import Struct

from proto.rest import Shared


class Claims(Struct, frozen=True):
    """The claims of a grant: an EdDSA (Ed25519) JWT that lets one user into one room of one node, once."""

    aud: str  # node id
    sub: UUID  # user
    room: UUID  # channel
    sid: UUID  # voice session
    jti: str  # single use
    iat: int
    exp: int  # iat + GRANT_SECONDS
    video: bool = False  # it may share its camera and screen, and the screen's sound (permission STREAM)


GRANT_SECONDS = 60
GRANT_ALGORITHM = "EdDSA"


class Authorize(Struct, frozen=True):
    """A node asks: whom does this stream key let into this channel? Answered by `Claims`, as those of a grant, or by
    `Denied`."""

    channel_id: UUID
    stream_key: str
    publishes: bool  # WHIP; False: WHEP


class Denied(Struct, frozen=True):
    reason: Literal["unknown_key", "wrong_channel", "unknown_channel", "too_many"]  # unknown: or hidden from the member


EndReason = Literal["left", "replaced", "removed", "lost", "shutdown"]


# events: node to control plane


class SessionStarted(Struct, tag=True, frozen=True):
    session_id: UUID
    channel_id: UUID
    user_id: UUID
    muted: bool = False
    deafened: bool = False
    sources: list[Shared] = []


class SessionChanged(Struct, tag=True, frozen=True):
    """The whole of it, as the node enforces it now."""

    session_id: UUID
    muted: bool = False  # by the member
    deafened: bool = False
    server_muted: bool = False  # by a command
    server_deafened: bool = False
    sources: list[Shared] = []


class SessionMoved(Struct, tag=True, frozen=True):
    session_id: UUID
    channel_id: UUID  # where it is now


class SessionEnded(Struct, tag=True, frozen=True):
    session_id: UUID
    reason: EndReason


MediaEvent = SessionStarted | SessionChanged | SessionMoved | SessionEnded


# commands: control plane to node; all idempotent


class EndSession(Struct, tag=True, frozen=True):
    """A session the node does not know (yet) is answered by `SessionEnded`, and its grant is void."""

    session_id: UUID
    reason: EndReason


class MuteSession(Struct, tag=True, frozen=True):
    """Nobody hears the member, neither its microphone, whatever it is set to, nor the sound of its screen; what it
    shows is seen. Unknown sessions are ignored."""

    session_id: UUID
    muted: bool


class DeafenSession(Struct, tag=True, frozen=True):
    """No sound is sent to the member; it still sees. Unknown sessions are ignored."""

    session_id: UUID
    deafened: bool


class MoveSession(Struct, tag=True, frozen=True):
    """To another room of the node, without a new transport. Unknown sessions are ignored."""

    session_id: UUID
    channel_id: UUID


MediaCommand = EndSession | MuteSession | DeafenSession | MoveSession
