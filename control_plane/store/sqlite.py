"""One SQLite file: many readers, each with its own snapshot (write-ahead log), and one writer, which takes its jobs
in turn.

With a single writing connection nobody ever waits for a file lock, so that "database is locked" cannot happen; jobs
that wait together share one commit, which is what costs (an fsync).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from control_plane.store.migrate import migrate
from control_plane.store.ports import StoreUnavailable

T = TypeVar("T")

READERS = 4  # each is a thread; a read takes well under a millisecond
MAX_BATCH = 64  # jobs that share a commit: bounds how long the first one waits for the others
MAX_WAITING = 4096  # jobs; beyond this the disk is not keeping up and callers are told so


@dataclass
class _Job:
    work: Callable[[AsyncConnection], Awaitable[Any]]
    outcome: asyncio.Future[Any]


class Database:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(MAX_WAITING)
        self._readers: AsyncEngine | None = None
        self._writer: AsyncEngine | None = None
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Brings the schema up to date and starts the writer."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(migrate, self._path)
        url = f"sqlite+aiosqlite:///{self._path}"
        self._readers = create_async_engine(url, pool_size=READERS, max_overflow=0)
        self._writer = create_async_engine(url, pool_size=1, max_overflow=0)
        _prepare(self._readers, "BEGIN", "PRAGMA query_only = ON")
        # FULL: an acknowledged write survives the loss of power, not only of the process.
        _prepare(self._writer, "BEGIN IMMEDIATE", "PRAGMA synchronous = FULL")
        self._writing = asyncio.create_task(self._write_jobs(self._writer), name="database writer")

    async def close(self) -> None:
        """Finishes what was asked for, then closes the file."""
        if self._writing is not None:
            await self._jobs.join()
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._writing = None
        for engine in (self._readers, self._writer):
            if engine is not None:
                await engine.dispose()
        self._readers = self._writer = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection within one snapshot. Raises `StoreUnavailable`."""
        if self._readers is None:
            raise StoreUnavailable("the database is closed")
        try:
            async with self._readers.connect() as connection:
                yield connection
        except DBAPIError as wrong:
            raise StoreUnavailable(str(wrong.orig)) from wrong

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction of its own or in a savepoint of a shared one; returns when it is on disk."""
        if self._writing is None or self._writing.done():
            raise StoreUnavailable("the database is closed")
        job = _Job(work, asyncio.get_running_loop().create_future())
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise StoreUnavailable("too many writes are waiting") from None
        result: T = await job.outcome
        return result

    async def _write_jobs(self, engine: AsyncEngine) -> None:
        while True:
            batch = [await self._jobs.get()]
            while len(batch) < MAX_BATCH and not self._jobs.empty():
                batch.append(self._jobs.get_nowait())
            try:
                async with engine.connect() as connection:
                    outcomes = await _run(batch, connection)
                    await connection.commit()
            except Exception as wrong:
                outcomes = [StoreUnavailable(f"{type(wrong).__name__}: {wrong}")] * len(batch)
            for job, outcome in zip(batch, outcomes, strict=True):
                if not job.outcome.done():  # whoever asked may have gone
                    if isinstance(outcome, Exception):
                        job.outcome.set_exception(outcome)
                    else:
                        job.outcome.set_result(outcome)
                self._jobs.task_done()


async def _run(batch: list[_Job], connection: AsyncConnection) -> list[Any]:
    """What each job returned or raised; one that raised has changed nothing. Raises when the whole transaction is lost.

    A constraint that a job broke is its own matter; every other complaint of the database is everybody's.
    """
    outcomes: list[Any] = []
    for job in batch:
        try:
            if len(batch) == 1:
                return [await job.work(connection)]
            async with connection.begin_nested():
                outcomes.append(await job.work(connection))
        except Exception as raised:
            if isinstance(raised, DBAPIError) and not isinstance(raised, IntegrityError):
                raise
            if len(batch) == 1:
                await connection.rollback()
            outcomes.append(raised)
    return outcomes


def _prepare(engine: AsyncEngine, begin: str, pragma: str) -> None:
    """Our own BEGIN, because the driver's comes too late for a snapshot and without IMMEDIATE."""

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: DBAPIConnection, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for each in ("PRAGMA foreign_keys = ON", "PRAGMA busy_timeout = 5000", pragma):
            cursor.execute(each)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def began(connection: Any) -> None:
        connection.exec_driver_sql(begin)
