"""REST bodies. UUIDs are strings in JSON, times RFC 3339 in UTC. Paths stand in `control_plane/routes`."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

ChannelType = Literal["text", "voice", "video"]
Shared = Literal["camera", "screen", "screen_audio"]  # what somebody in a voice channel shows beside being heard

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Username = Annotated[str, Meta(min_length=2, max_length=32, pattern=r"^[a-z0-9_.]+$")]
Password = Annotated[str, Meta(min_length=8, max_length=128)]
Content = Annotated[str, Meta(min_length=1, max_length=4000)]
Nonce = Annotated[str, Meta(min_length=1, max_length=64)]


class Problem(Struct, frozen=True, omit_defaults=True):
    """Every error body. `errors` maps a field to what is wrong with it."""

    code: str
    message: str
    errors: dict[str, str] | None = None


class User(Struct, frozen=True):
    user_id: UUID
    username: str
    avatar_url: str | None = None


class Credentials(Struct, frozen=True):  # POST /users, POST /login
    username: Username
    password: Password


class Session(Struct, frozen=True):  # their answer
    user: User
    token: str


class NewServer(Struct, frozen=True):  # POST /servers
    name: Name
    description: Annotated[str, Meta(max_length=1000)] | None = None


class Server(Struct, frozen=True):
    server_id: UUID
    name: str
    description: str | None
    owner_id: UUID
    icon_url: str | None
    member_count: int
    created_at: datetime


class NewInvite(Struct, frozen=True):  # POST /servers/{id}/invite; the body may be left out
    max_age: Annotated[int, Meta(ge=60, le=30 * 86400)] = 7 * 86400  # seconds
    max_uses: Annotated[int, Meta(ge=0, le=1000)] = 0  # 0: no limit


class Invite(Struct, frozen=True):  # GET /invites/{code}; POST /invites/{code} accepts and answers Server
    code: str
    server_id: UUID
    server_name: str
    member_count: int
    expires_at: datetime


class NewChannel(Struct, frozen=True):  # POST /servers/{id}/channels
    name: Name
    type: ChannelType = "text"


class Channel(Struct, frozen=True):
    channel_id: UUID
    server_id: UUID
    name: str
    type: ChannelType
    position: int
    created_at: datetime


class Member(Struct, frozen=True):  # GET /servers/{id}/members
    user: User
    joined_at: datetime


class NewMessage(Struct, frozen=True):  # POST /channels/{id}/messages
    content: Content
    nonce: Nonce | None = None  # a repeated nonce answers the first message again


class Message(Struct, frozen=True):
    message_id: UUID
    channel_id: UUID
    user_id: UUID
    author: User
    content: str
    timestamp: datetime
    nonce: str | None = None


class VoiceState(Struct, frozen=True):  # GET /channels/{id}/participants
    session_id: UUID
    channel_id: UUID
    user_id: UUID
    start_time: datetime
    muted: bool = False  # by the member
    deafened: bool = False
    server_muted: bool = False  # by who runs the server
    server_deafened: bool = False
    sources: list[Shared] = []


class ParticipantChange(Struct, frozen=True, forbid_unknown_fields=False):
    """PATCH /channels/{id}/participants/{user_id}; what is left out stays as it is. `channel_id`: move there."""

    server_muted: bool | None = None
    server_deafened: bool | None = None
    channel_id: UUID | None = None


class NewStreamKey(Struct, frozen=True):  # POST /channels/{id}/stream-keys
    name: Name  # of the program or device that will have it


class StreamKey(Struct, frozen=True):  # GET /channels/{id}/stream-keys; DELETE /channels/{id}/stream-keys/{key_id}
    key_id: UUID
    name: str
    created_at: datetime


class FreshStreamKey(StreamKey, frozen=True):  # the answer to POST
    key: str  # the bearer of WHIP and WHEP: shown this once


class IceServer(Struct, frozen=True, omit_defaults=True):
    urls: list[str]
    username: str | None = None
    credential: str | None = None


class Admission(Struct, frozen=True):  # POST /channels/{id}/join
    session_id: UUID
    signalling: str  # WebSocket URL, or a path on the page's own origin
    grant: str
    expires_at: datetime
    ice_servers: list[IceServer] = []
