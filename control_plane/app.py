"""The composition root of the control plane: the only place that names implementations."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import monotonic, time_ns

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from control_plane import housekeeping
from control_plane.bus.local import LocalBus
from control_plane.context import Limits, Services, moment
from control_plane.gateway.hub import Hub
from control_plane.logs import configure_logs
from control_plane.passwords import Passwords
from control_plane.ratelimit import Limiter
from control_plane.routes import accounts, channels, gateway, health, invites, messages, servers, stream_keys, voice
from control_plane.routes.page import page_routes
from control_plane.routes.shell import ERROR_HANDLERS, Shell
from control_plane.settings import Settings
from control_plane.store.embedded import EmbeddedStore, last_minted_us
from control_plane.store.messages import EmbeddedMessages
from control_plane.store.ports import MessageStore
from control_plane.store.sqlite import Database
from control_plane.voice.grants import Grants
from control_plane.voice.nodes import NodeLink
from control_plane.voice.service import Voice
from proto.ids import Minter

ROUTES: list[BaseRoute] = [
    *accounts.ROUTES,
    *servers.ROUTES,
    *invites.ROUTES,
    *channels.ROUTES,
    *messages.ROUTES,
    *voice.ROUTES,
    *stream_keys.ROUTES,
    *health.ROUTES,
    *gateway.ROUTES,
]


def build(
    settings: Settings,
    nodes: NodeLink | None = None,
    *,
    routes: Sequence[BaseRoute] = (),
    around: Callable[[], AbstractAsyncContextManager[object]] | None = None,
    messages: Callable[[Database], MessageStore] = EmbeddedMessages,
) -> Starlette:
    """The application. Nothing is opened before its lifespan begins.

    `nodes`: the media node; without one, joining a voice channel answers 503. `routes`: further ones on the same
    origin, such as the node's signalling. `around`: entered before anything here is opened and left after all is
    closed. `messages`: another message store.
    """

    if not structlog.is_configured():
        configure_logs()  # structlog's own tracebacks would write down what requests contain

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if around is not None:
                await stack.enter_async_context(around())
            database = Database(settings.database_path)
            await database.open()
            stack.push_async_callback(database.close)
            minter = Minter(worker=0, last_us=await last_minted_us(database))
            store, bus, passwords = EmbeddedStore(database, minter, _now_us), LocalBus(), Passwords()
            stack.callback(passwords.close)
            services = Services(
                store=store,
                messages=messages(database),
                bus=bus,
                voice=Voice(
                    node=nodes,
                    grants=Grants.open(settings.data_dir),
                    bus=bus,
                    store=store,
                    now=lambda: moment(_now_us()),
                    mint=lambda: minter.mint(_now_us()),
                    ice=settings.ice,
                ),
                passwords=passwords,
                limits=Limits(
                    accounts=Limiter("accounts", settings.limit_accounts),
                    messages=Limiter("messages", settings.limit_messages),
                    invites=Limiter("invites", settings.limit_invites),
                    creations=Limiter("creations", settings.limit_creations),
                    joins=Limiter("joins", settings.limit_joins),
                ),
                now_us=_now_us,
                monotonic=monotonic,
                mint=lambda: minter.mint(_now_us()),
                randomness=secrets.token_bytes,
            )
            # Whatever is not stored was interrupted by the end of the process before this one.
            await housekeeping.sweep(services, older_than=timedelta(0))
            hub = Hub(store)
            bus.attach(hub.receive)
            app.state.services, app.state.hub = services, hub
            for work in (hub.run(), services.voice.run(), housekeeping.keep_house(services)):
                task = asyncio.create_task(work)
                stack.push_async_callback(_stop, task)
            yield

    app = Starlette(
        routes=[*ROUTES, *routes, *page_routes(settings.web_dir)],
        middleware=[Middleware(Shell)],
        exception_handlers=ERROR_HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a path has one spelling
    return app


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _now_us() -> int:
    return time_ns() // 1000
