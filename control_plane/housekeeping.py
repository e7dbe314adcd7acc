"""What has to be done now and then: finish what a crash interrupted, forget what is over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from control_plane.actions.messages import store_and_announce
from control_plane.context import Services
from proto.gateway import RESUME_WINDOW

log = structlog.get_logger()

# Of the log: a cursor at the end of the window can be replayed in peace.
RETENTION = timedelta(seconds=2 * RESUME_WINDOW)
UNSTORED_FOR = timedelta(seconds=5)  # longer than whoever appended it needs to store it
BATCH = 200


async def sweep(app: Services, *, older_than: timedelta = UNSTORED_FOR) -> int:
    """Stores and announces messages that were appended to the log and went no further. Returns how many."""
    swept = 0
    while True:
        before_us = app.now_us() - older_than // timedelta(microseconds=1)
        async with app.store.read() as view:
            events = await view.unstored(before_us=before_us, limit=BATCH)
        await store_and_announce(app, events)
        swept += len(events)
        if len(events) < BATCH:
            if swept:
                log.info("messages swept", count=swept)
            return swept


async def forget(app: Services) -> None:
    """Events beyond the resume window; tokens and invites that have expired."""
    before_us = app.now_us() - RETENTION // timedelta(microseconds=1)
    await app.store.write(lambda tx: tx.prune_events(before_us=before_us))
    await app.store.write(lambda tx: tx.prune_expired(app.now))


async def keep_house(app: Services) -> None:
    """Runs until cancelled."""
    async with asyncio.TaskGroup() as chores:
        chores.create_task(_every(2.0, lambda: sweep(app)))
        chores.create_task(_every(30.0, lambda: forget(app)))
        chores.create_task(_every(15.0, app.voice.expire))


async def _every(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except Exception:
            log.exception("chore failed")
