"""What control plane and media nodes tell each other, whatever carries it: a pipe in one process, the bus between."""

from typing import Literal
from uuid import UUID

from msgspec import Struct


class Claims(Struct, frozen=True):
    """The claims of a grant: an EdDSA (Ed25519) JWT that lets one user into one room of one node, once."""

    aud: str  # node id
    sub: UUID  # user
    room: UUID  # channel
    sid: UUID  # voice session
    jti: str  # single use
    iat: int
    exp: int  # iat + GRANT_SECONDS


GRANT_SECONDS = 60
GRANT_ALGORITHM = "EdDSA"

EndReason = Literal["left", "replaced", "removed", "lost", "shutdown"]


# events: node to control plane


class SessionStarted(Struct, tag=True, frozen=True):
    session_id: UUID
    channel_id: UUID
    user_id: UUID
    muted: bool = False
    deafened: bool = False


class SessionChanged(Struct, tag=True, frozen=True):
    """The whole of it, as the node enforces it now."""

    session_id: UUID
    muted: bool = False  # by the member
    deafened: bool = False
    server_muted: bool = False  # by a command
    server_deafened: bool = False


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
    """Nobody hears the member, whatever its own microphone is set to. Unknown sessions are ignored."""

    session_id: UUID
    muted: bool


class DeafenSession(Struct, tag=True, frozen=True):
    """Nothing is sent to the member. Unknown sessions are ignored."""

    session_id: UUID
    deafened: bool


class MoveSession(Struct, tag=True, frozen=True):
    """To another room of the node, without a new transport. Unknown sessions are ignored."""

    session_id: UUID
    channel_id: UUID


MediaCommand = EndSession | MuteSession | DeafenSession | MoveSession
