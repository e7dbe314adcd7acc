"""One Chromium for all these tests, a control plane for each. All in one loop, because a browser lives in one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from argon2 import profiles
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from control_plane import passwords
from control_plane.settings import Settings
from tests.control_plane.support import Person, Running, running, settings_for
from tests.end_to_end.browser import ARGUMENTS, executable
from tests.web.scripted_node import FAR_SIDE, ScriptedNode
from tests.web.visitor import Visitor

# Who may use the microphone is what some of these tests are about.
FLAGS = [each for each in ARGUMENTS if not each.startswith("--use-fake")]
FLAGS += ["--use-fake-device-for-media-stream=device-count=3"]  # cameras; the second gives pictures that cannot be sent

NEAR_SIDE = Path(__file__).with_name("near_side.js")

Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def far_side(chromium: Browser) -> Page:
    """Where the media of every scripted node end."""
    page = await chromium.new_page()
    await page.add_script_tag(content=FAR_SIDE)
    return page


@pytest.fixture(autouse=True)
def cheap_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test signs somebody up."""
    monkeypatch.setattr(passwords, "PARAMETERS", profiles.CHEAPEST)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With the real page. A test may ask for others by a fixture of the same name."""
    return settings_for(tmp_path, web_dir=Settings().web_dir)


@pytest_asyncio.fixture(loop_scope="session")
async def node(far_side: Page) -> AsyncIterator[ScriptedNode]:
    yield ScriptedNode(far_side)
    await far_side.evaluate("hangUp()")


@pytest_asyncio.fixture(loop_scope="session")
async def live(settings: Settings, node: ScriptedNode) -> AsyncIterator[Running]:
    async with running(settings, routes=node.routes) as control:
        yield control


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser, live: Running) -> AsyncIterator[Visit]:
    """A new visitor with a browser profile of their own, who may use the microphone unless `permissions` says no."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    async def come(*, permissions: tuple[str, ...] = ("microphone",), **how: Any) -> Visitor:
        context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **how})
        await context.grant_permissions(permissions)
        await context.add_init_script(path=NEAR_SIDE)
        contexts.append(context)
        visitor = Visitor(await context.new_page(), f"http://127.0.0.1:{live.port}")
        visitors.append(visitor)
        return visitor

    yield come
    for context in contexts:
        await context.close()
    assert [line for visitor in visitors for line in visitor.complaints] == []


@pytest_asyncio.fixture(loop_scope="session")
async def ann(live: Running) -> Person:
    return await live.sign_up("ann")


@pytest_asyncio.fixture(loop_scope="session")
async def bob(live: Running) -> Person:
    return await live.sign_up("bob")
