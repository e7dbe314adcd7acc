"""The page's gateway client against the real gateway, through a line that can be cut and can repeat itself."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.control_plane.support import Person
from tests.web.conftest import Visit
from tests.web.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESUME, INVALID_SESSION, IDENTIFY = 6, 9, 2


class Line:
    """Between the page and the gateway. `up`, `down`: the frames so far; `change` may rewrite what the page sends."""

    def __init__(self) -> None:
        self.up: list[dict[str, Any]] = []
        self.down: list[dict[str, Any]] = []
        self.repeat = False
        self.change: Any = lambda frame: frame
        self.open = asyncio.Event()
        self.open.set()
        self._socket: WebSocketRoute | None = None

    async def put_in(self, visitor: Visitor) -> None:
        await visitor.page.route_web_socket("**/gateway", self._connect)

    async def cut(self) -> None:
        """And keep it cut until `open` is set again."""
        self.open.clear()
        assert self._socket is not None
        await self._socket.close(code=4000)

    async def _connect(self, socket: WebSocketRoute) -> None:
        await self.open.wait()
        server = socket.connect_to_server()
        self._socket = socket

        def upwards(text: str | bytes) -> None:
            frame = self.change(json.loads(text))
            self.up.append(frame)
            server.send(json.dumps(frame))

        def downwards(text: str | bytes) -> None:
            self.down.append(json.loads(text))
            for _ in range(2 if self.repeat else 1):
                socket.send(text)

        socket.on_message(upwards)
        server.on_message(downwards)


async def in_channel(visit: Visit, ann: Person) -> tuple[Visitor, Line, str]:
    server = await ann.new_server()
    here, line = await visit(), Line()
    await line.put_in(here)
    await here.arrive(ann.token)
    await expect(here.page.get_by_text("Nobody has written here yet. Say hello.")).to_be_visible()
    return here, line, await ann.channel(server)


async def test_what_was_said_while_the_line_was_cut_is_there_afterwards_and_once(visit: Visit, ann: Person) -> None:
    here, line, channel = await in_channel(visit, ann)
    await ann.say(channel, "before")
    await expect(here.messages).to_have_count(1)
    await line.cut()
    await ann.say(channel, "meanwhile")
    line.open.set()
    await expect(here.messages).to_have_count(2)
    await ann.say(channel, "after")
    await expect(here.messages).to_have_count(3)
    resume = next(frame["d"] for frame in line.up if frame["op"] == RESUME)
    assert {topic.partition(":")[0] for topic in resume["cursors"]} == {"user", "guild"}
    assert sum(frame["op"] == IDENTIFY for frame in line.up) == 1


async def test_events_that_arrive_twice_are_counted_once(visit: Visit, ann: Person, bob: Person) -> None:
    here, line, channel = await in_channel(visit, ann)
    [server] = await ann.get("/servers")
    await ann.bring(bob, server)
    await ann.post(f"/servers/{server['server_id']}/channels", {"name": "garden", "type": "text"})
    await here.see("channel-garden").click()
    line.repeat = True
    for text in ("one", "two"):
        await bob.say(channel, text)
    await expect(here.see("channel-general").locator(".badge")).to_have_text("2")
    await here.see("channel-general").click()
    await expect(here.messages).to_have_count(2)


async def test_when_too_much_was_missed_everything_is_told_again(visit: Visit, ann: Person) -> None:
    here, line, channel = await in_channel(visit, ann)

    def forget(frame: dict[str, Any]) -> dict[str, Any]:
        return frame | {"d": frame["d"] | {"cursors": {}}} if frame["op"] == RESUME else frame

    line.change = forget
    await line.cut()
    await ann.say(channel, "meanwhile")
    line.open.set()
    await expect(here.messages).to_have_count(1)
    assert any(frame["op"] == INVALID_SESSION for frame in line.down)
    assert sum(frame.get("t") == "READY" for frame in line.down) == 2


async def test_a_longer_break_is_told_and_the_notice_goes_away(visit: Visit, ann: Person) -> None:
    here, line, _ = await in_channel(visit, ann)
    notice = here.page.get_by_text("The connection is gone.")
    await line.cut()
    await expect(notice).to_be_visible()
    line.open.set()
    await expect(notice).to_be_hidden()
