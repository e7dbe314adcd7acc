"""What a person does on the page, through what the page shows: the names are its data-testid attributes."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Locator, WebSocket, expect

from tests.end_to_end.browser import Tab, browser
from tests.end_to_end.speech import Voice

PASSWORD = "correct horse battery"


class Person(Tab):
    """Somebody at a browser. `csrcs` maps the CSRC of everyone met in voice to a user id, as signalling said it."""

    def __init__(self, page: Any, name: str, url: str) -> None:
        super().__init__(page)
        self.name, self.url = name, url
        self.csrcs: dict[int, str] = {}
        page.on("websocket", self._listen_in)

    def _listen_in(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        frame = json.loads(payload) if isinstance(payload, str) else {}
        if not isinstance(frame, dict) or frame.get("op") not in {"joined", "arrived"}:
            return
        for participant in frame.get("participants", [frame.get("participant")]):
            self.csrcs[participant["csrc"]] = participant["user_id"]

    def see(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def csrc_of(self, user_id: str) -> int:
        """Of the user's latest stay in voice. Raises KeyError for somebody never met."""
        return {user: csrc for csrc, user in self.csrcs.items()}[user_id]

    def participant(self, other: "Person") -> Locator:
        """The other, or oneself, in the list under a voice channel."""
        return self.page.locator(f'[data-testid="voice-participant"][data-user="{other.name}"]')

    async def sign_up(self) -> None:
        await self.page.goto(self.url)
        await self._fill_in()

    async def _fill_in(self) -> None:
        await self.see("username").fill(self.name)
        await self.see("password").fill(PASSWORD)
        await self.see("sign-up").click()

    async def create_server(self, name: str) -> str:
        """Answers with the invite link."""
        await self.see("new-server").click()
        await self.see("server-name").fill(name)
        await self.see("create-server").click()
        await self.see("invite").click()
        link = self.see("invite-link")
        await expect(link).to_have_value(re.compile("/invite/"))
        address = await link.input_value()
        await self.page.keyboard.press("Escape")
        await expect(link).to_have_count(0)
        return address

    async def accept(self, link: str) -> None:
        """Follow an invite link as a stranger: sign up on the way."""
        await self.page.goto(link)
        await self.see("accept-invite").click()
        await self._fill_in()
        await expect(self.see("channel-general")).to_be_visible()

    async def open(self, channel: str) -> None:
        await self.see(f"channel-{channel}").click()

    async def join_voice(self, channel: str) -> None:
        await self.open(channel)
        await expect(self.see("voice-state")).to_have_text("Connected")

    async def leave(self) -> None:
        await self.see("leave").click()
        await expect(self.see("leave")).to_be_hidden()

    async def say(self, words: str) -> None:
        await self.see("composer").fill(words)
        await self.see("composer").press("Enter")


@asynccontextmanager
async def person(name: str, url: str, voice: Voice | None = None) -> AsyncIterator[Person]:
    """A browser process for one person, not yet on the page."""
    async with browser(voice) as context:
        yield Person(await context.new_page(), name, url)
