"""What an action works with: the ports, and who asks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from control_plane.bus.ports import Bus
from control_plane.errors import RateLimited
from control_plane.ratelimit import Limiter, Verdict
from control_plane.store.ports import MessageStore, Store
from control_plane.voice.service import Voice
from proto.ids import UserId
from proto.rest import User

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """The UTC time of a Unix microsecond."""
    return _UNIX_EPOCH + timedelta(microseconds=us)


class PasswordHashing(Protocol):
    async def hash(self, password: str) -> str: ...
    async def verify(self, password_hash: str | None, password: str) -> bool: ...
    def is_outdated(self, password_hash: str) -> bool: ...


@dataclass(frozen=True)
class Limits:
    accounts: Limiter
    messages: Limiter
    invites: Limiter
    creations: Limiter
    joins: Limiter


@dataclass(frozen=True)
class Services:
    store: Store
    messages: MessageStore
    bus: Bus
    voice: Voice
    passwords: PasswordHashing
    limits: Limits
    now_us: Callable[[], int]  # Unix microseconds
    monotonic: Callable[[], float]  # seconds
    mint: Callable[[], UUID]
    randomness: Callable[[int], bytes]  # that many bytes nobody can guess

    @property
    def now(self) -> datetime:
        return moment(self.now_us())


@dataclass
class Visitor:
    """Someone who has not said who they are. One for each request."""

    services: Services
    address: str
    verdict: Verdict | None = None  # of the rate limit this request counted against

    def spend(self, limiter: Limiter, key: object) -> None:
        """Raises `RateLimited`."""
        self.verdict = limiter.spend(key, self.services.monotonic())
        if not self.verdict.allowed:
            raise RateLimited(self.verdict)


@dataclass(kw_only=True)
class Context(Visitor):
    """A signed-in user asks."""

    user: User
    token_digest: bytes

    @property
    def user_id(self) -> UserId:
        return UserId(self.user.user_id)
