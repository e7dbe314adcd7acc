"""One gateway session, a core: client frames, log events and the time come in, outputs go back for the shell to
perform.

A session holds a cursor for each topic it follows and dispatches exactly the events that follow on: what is not
higher is dropped, and a gap is filled from the log. So whatever the bus loses, repeats or reorders, the client does
not notice. Outputs are performed in order, one at a time; an output that asks for something is answered by the method
its docstring names.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from control_plane.events import Entered, LogEvent, StateChange
from control_plane.ratelimit import Limiter, Rate
from control_plane.store.ports import Page, Span
from proto.gateway import HEARTBEAT_MS, MAX_FRAME, ClientFrame, CloseCode, Frame, GuildSnapshot, Identify, Op, Resume
from proto.ids import Topic, guild_topic, user_topic
from proto.rest import User, VoiceState

IDENTIFY_SECONDS = 10.0  # a socket that says nothing costs memory
HEARTBEAT_SECONDS = HEARTBEAT_MS / 1000 * 1.5  # one beat may be late, a second one not
FRAME_RATE = Rate(120, 60)  # Discord's


@dataclass(frozen=True)
class Send:
    text: str


@dataclass(frozen=True)
class Close:
    code: CloseCode
    reason: str


@dataclass(frozen=True)
class Authenticate:
    """Whose token is this? → `authenticated`"""

    token: str


@dataclass(frozen=True)
class ReadWelcome:
    """All the user sees, and where each topic stands, in one view. → `welcome`"""

    user: User


@dataclass(frozen=True)
class ReadStanding:
    """Which topics the user may follow now, and how far back each can be replayed. → `resume`"""

    user: User
    cursors: Mapping[Topic, int]


@dataclass(frozen=True)
class ReadGuild:
    """The guild that `event` says the user entered. → `entered`"""

    user: User
    event: LogEvent
    entered: Entered


@dataclass(frozen=True)
class Follow:
    """From now on pass in the events and states of this topic; its log is known up to `at`. → `behind`, if it has
    gone on since"""

    topic: Topic
    at: int


@dataclass(frozen=True)
class Replay:
    """The events after this cursor. → `replayed`"""

    topic: Topic
    after: int


@dataclass(frozen=True)
class ReadVoiceStates:
    """Of the guilds behind these topics. → `voice_states`"""

    topics: Collection[Topic]


Output = Send | Close | Authenticate | ReadWelcome | ReadStanding | ReadGuild | Follow | Replay | ReadVoiceStates


class Phase(Enum):
    NEW = auto()  # waiting for IDENTIFY or RESUME
    ENTERING = auto()  # the shell is finding out who it is and what was missed
    RESUMING = auto()  # the missed events are being replayed
    LIVE = auto()
    CLOSED = auto()


_decode = msgspec.json.Decoder(ClientFrame).decode


class Session:
    def __init__(self, session_id: str, now: float) -> None:
        """`now`: seconds, of a clock that never goes backwards."""
        self.session_id = session_id
        self._phase = Phase.NEW
        self._user: User | None = None
        self._asked: Identify | Resume | None = None
        self._identify_by = now + IDENTIFY_SECONDS
        self._heartbeat_by = now + HEARTBEAT_SECONDS
        self._frames = Limiter("gateway", FRAME_RATE)
        self._s = 0
        self._cursors: dict[Topic, int] = {}
        # Topics being read from the log, and the highest n seen of each meanwhile.
        self._replaying: dict[Topic, int] = {}

    @property
    def deadline(self) -> float:
        """When `tick` has to be called at the latest."""
        return min(self._identify_by, self._heartbeat_by) if self._phase is Phase.NEW else self._heartbeat_by

    def opened(self) -> list[Output]:
        return [_control(Op.HELLO, {"heartbeat_interval": HEARTBEAT_MS})]

    def tick(self, now: float) -> list[Output]:
        if self._phase is Phase.NEW and now >= self._identify_by:
            return self._close(CloseCode.SESSION_TIMED_OUT, "nobody identified")
        if now >= self._heartbeat_by:
            return self._close(CloseCode.SESSION_TIMED_OUT, "no heartbeat")
        return []

    # What the client says

    def receive(self, text: str | None, now: float) -> list[Output]:
        """`None`: a frame that is not text."""
        if not self._frames.spend(None, now).allowed:
            return self._close(CloseCode.RATE_LIMITED, "too many frames")
        try:
            if text is None or len(text) > MAX_FRAME or len(text.encode()) > MAX_FRAME:
                return self._close(CloseCode.DECODE_ERROR, f"a frame is JSON text of at most {MAX_FRAME} bytes")
            frame = _decode(text)
            match frame.op:
                case Op.HEARTBEAT:
                    self._heartbeat_by = now + HEARTBEAT_SECONDS
                    return [_control(Op.HEARTBEAT_ACK)]
                case Op.IDENTIFY:
                    return self._enter(msgspec.json.decode(frame.d, type=Identify))
                case Op.RESUME:
                    return self._enter(msgspec.json.decode(frame.d, type=Resume))
                case _ if self._phase is Phase.NEW:
                    return self._close(CloseCode.NOT_AUTHENTICATED, "identify first")
                case _:
                    return self._close(CloseCode.UNKNOWN_OPCODE, "clients do not send this opcode")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._close(CloseCode.DECODE_ERROR, "not a frame of this protocol")

    def _enter(self, asked: Identify | Resume) -> list[Output]:
        if self._phase is not Phase.NEW:
            return self._close(CloseCode.ALREADY_AUTHENTICATED, "this session is known already")
        self._phase = Phase.ENTERING
        self._asked = asked
        return [Authenticate(asked.token)]

    # What the shell found out

    def authenticated(self, user: User | None) -> list[Output]:
        if user is None or self._asked is None:
            return self._close(CloseCode.AUTHENTICATION_FAILED, "this token is not valid")
        self._user = user
        if isinstance(self._asked, Identify):
            return [ReadWelcome(user)]
        return [ReadStanding(user, {Topic(topic): n for topic, n in self._asked.cursors.items()})]

    def welcome(self, user: User, guilds: list[GuildSnapshot], cursors: Mapping[Topic, int]) -> list[Output]:
        self._phase = Phase.LIVE
        self._cursors = dict(cursors)
        ready = {"session_id": self.session_id, "user": user, "guilds": guilds, "cursors": cursors}
        return [*(Follow(topic, at) for topic, at in cursors.items()), self._state("READY", ready)]

    def resume(
        self, asked: ReadStanding, spans: Mapping[Topic, Span], entered: Collection[Topic], now: float
    ) -> list[Output]:
        """`spans`: of every topic the user may follow. `entered`: guilds whose GUILD_CREATE is among what was missed,
        and which the client therefore cannot know."""
        known = {topic: asked.cursors[topic] for topic in spans if topic in asked.cursors}
        unknown = [topic for topic in spans if topic not in known and topic not in entered]
        if unknown or not all(spans[topic].reaches(n) for topic, n in known.items()):
            return self._invalid(now)
        self._phase = Phase.RESUMING
        self._cursors = known
        self._replaying = {topic: spans[topic].head for topic, n in known.items() if n < spans[topic].head}
        # The user's own topic first: it says which guilds were entered, and their events follow on that.
        order = sorted(self._replaying, key=lambda topic: topic != user_topic(asked.user.user_id))
        return [
            *(Follow(topic, spans[topic].head) for topic in known),
            *(Replay(topic, known[topic]) for topic in order),
            *self._resumed_if_done(),
        ]

    def replayed(self, topic: Topic, page: Page | None, now: float) -> list[Output]:
        """`None`: the log no longer reaches back so far."""
        if topic not in self._replaying:
            return []
        if page is None:
            return self._invalid(now)
        outputs: list[Output] = []
        for event in page.events:
            if event.n == self._cursors[topic] + 1:
                outputs += self._dispatch(event)
        behind = self._cursors[topic] < self._replaying[topic]
        if page.events and (page.more or behind):
            return [*outputs, Replay(topic, self._cursors[topic])]
        del self._replaying[topic]  # if still behind: the log's reader will come upon it
        return outputs + self._resumed_if_done()

    def entered(self, asked: ReadGuild, guild: GuildSnapshot | None) -> list[Output]:
        """`None`: the user has left the guild since."""
        if guild is None or self._phase is Phase.NEW:
            return []
        created = self._frame("GUILD_CREATE", guild, asked.event)
        topic, cursor = guild_topic(asked.entered.server_id), asked.entered.cursor
        if topic in self._cursors:
            return [created]
        self._cursors[topic] = self._replaying[topic] = cursor
        return [Follow(topic, cursor), created, Replay(topic, cursor)]

    def voice_states(self, states: list[VoiceState]) -> list[Output]:
        return [self._state("RESUMED", {"voice_states": states})] if self._phase is Phase.LIVE else []

    # What was announced

    def behind(self, topic: Topic, head: int) -> list[Output]:
        """The topic's log is known to go up to `head`."""
        cursor = self._cursors.get(topic)
        if cursor is None or cursor >= head:
            return []
        if topic in self._replaying:
            self._replaying[topic] = max(self._replaying[topic], head)
            return []
        self._replaying[topic] = head
        return [Replay(topic, cursor)]

    def deliver(self, event: LogEvent) -> list[Output]:
        cursor = self._cursors.get(event.topic)
        if cursor is None or event.n <= cursor:
            return []
        if event.topic in self._replaying or event.n != cursor + 1:
            return self.behind(event.topic, event.n)
        return self._dispatch(event)

    def change(self, change: StateChange) -> list[Output]:
        """A state that comes before READY or RESUMED is part of theirs."""
        if self._phase is not Phase.LIVE or change.topic not in self._cursors:
            return []
        self._s += 1
        return [Send(f"{change.head}{self._s}}}")]

    def lost(self, topic: Topic, now: float) -> list[Output]:
        """The log has been cut off behind the reader: nobody can say what is missing."""
        return self._invalid(now) if topic in self._cursors else []

    def revoked(self) -> list[Output]:
        return self._close(CloseCode.AUTHENTICATION_FAILED, "signed out")

    def _dispatch(self, event: LogEvent) -> list[Output]:
        self._cursors[event.topic] = event.n
        if event.t == "GUILD_CREATE" and self._user is not None:
            return [ReadGuild(self._user, event, msgspec.json.decode(event.d, type=Entered))]
        self._s += 1
        return [Send(f"{event.head}{self._s}}}")]

    def _resumed_if_done(self) -> list[Output]:
        if self._phase is not Phase.RESUMING or self._replaying:
            return []
        self._phase = Phase.LIVE
        return [ReadVoiceStates(list(self._cursors))]

    def _invalid(self, now: float) -> list[Output]:
        """Opcode 9: what was missed can no longer be told. The client may identify on the same socket."""
        self._phase = Phase.NEW
        self._user, self._asked = None, None
        self._cursors, self._replaying = {}, {}
        self._identify_by = now + IDENTIFY_SECONDS
        return [_control(Op.INVALID_SESSION, False)]

    def _close(self, code: CloseCode, reason: str) -> list[Output]:
        self._phase = Phase.CLOSED
        return [Close(code, reason)]

    def _state(self, t: str, d: Any) -> Send:
        self._s += 1
        return _send(Frame(op=Op.DISPATCH, d=d, s=self._s, t=t))

    def _frame(self, t: str, d: Any, event: LogEvent) -> Send:
        self._s += 1
        return _send(Frame(op=Op.DISPATCH, d=d, s=self._s, t=t, topic=event.topic, n=event.n))


def _control(op: Op, d: Any = None) -> Send:
    return _send(Frame(op=op, d=d))


def _send(frame: Frame) -> Send:
    return Send(msgspec.json.encode(frame).decode())
