"""Passwords: argon2id, off the event loop, a bounded number at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, profiles
from argon2.exceptions import InvalidHashError, VerificationError

from control_plane.errors import Unavailable

T = TypeVar("T")

PARAMETERS = profiles.RFC_9106_LOW_MEMORY  # RFC 9106 §4, the second recommended option: 64 MiB, about 50 ms
WORKERS = 2  # at most so many cores, and so many times that memory
MAX_WAITING = 64  # about two seconds of work


class Passwords:
    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(PARAMETERS)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="password")
        self._waiting = 0
        self._nobodys = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Takes as long when there is no hash to compare with, so that nobody learns whether a name exists."""
        right = await self._run(self._verify, password_hash or self._nobodys, password)
        return right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in just now. Try again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1
