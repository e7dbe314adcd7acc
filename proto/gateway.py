"""Gateway frames: `{op, d, s, t}` with Discord's opcodes and close codes, plus the cursor `topic`, `n` of DESIGN §6.

`GET /gateway` upgrades to the WebSocket. Client: IDENTIFY {token} or RESUME {token, session_id, cursors: {topic: n}}.
A client keeps the highest n it has seen of each topic and drops what is not higher. State events (voice) carry no
cursor.

| t | d | topic |
| --- | --- | --- |
| READY | {session_id, user, guilds: [GuildSnapshot], cursors: {topic: n}} | |
| RESUMED | {voice_states: [VoiceState]} after everything missed was replayed | |
| GUILD_CREATE | GuildSnapshot: the user joined or made a guild | user |
| GUILD_MEMBER_ADD | {server_id, member: Member} | guild |
| CHANNEL_CREATE | Channel | guild |
| MESSAGE_CREATE | Message | guild |
| VOICE_STATE_UPDATE | {state: VoiceState, present: bool} | state: no cursor |
"""

from enum import IntEnum
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from proto.rest import Channel, Member, Server, VoiceState

HEARTBEAT_MS = 41_250
MAX_FRAME = 16 * 1024  # bytes a client may send in one frame: a RESUME carries one cursor a guild, about 60 bytes each
RESUME_WINDOW = 300  # seconds


class Op(IntEnum):
    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    RECONNECT = 7
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


class CloseCode(IntEnum):
    UNKNOWN_ERROR = 4000
    UNKNOWN_OPCODE = 4001
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    INVALID_SEQ = 4007
    RATE_LIMITED = 4008
    SESSION_TIMED_OUT = 4009


class Frame(Struct, frozen=True, omit_defaults=True):
    op: int
    d: Any = None
    s: int | UnsetType = UNSET
    t: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    n: int | UnsetType = UNSET


class ClientFrame(Struct, frozen=True):
    op: int
    d: Raw = Raw(b"null")


class Identify(Struct, frozen=True):
    token: str


class Resume(Struct, frozen=True):
    token: str
    session_id: str
    cursors: dict[str, int]


class GuildSnapshot(Struct, frozen=True):
    server: Server
    channels: list[Channel]
    members: list[Member]
    voice_states: list[VoiceState]
