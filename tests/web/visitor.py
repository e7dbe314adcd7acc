"""Somebody in front of the page, who does what the page offers: the names are its data-testid attributes."""

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

PASSWORD = "correct horse"
EMPTY = '<!doctype html><link rel="icon" href="data:,">'  # of the same origin, without the page's scripts


class Visitor:
    """`complaints` collects uncaught errors and console errors, so refusals of the content security policy too."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    def see(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def messages(self) -> Locator:
        return self.see("message")

    def message(self, text: str) -> Locator:
        return self.messages.filter(has_text=text)

    def participant(self, username: str) -> Locator:
        return self.page.locator(f'[data-testid="voice-participant"][data-user="{username}"]')

    async def sees_speaking(self, name: str) -> None:
        """Until the ring of `name` is lit. Each frame is looked at: the fake microphone beeps once a second, and who
        looks as often may never see it."""
        lit = """name => document.querySelector(`[data-testid="voice-participant"][data-user="${name}"]`)
            ?.dataset.speaking === 'true'"""
        await self.page.wait_for_function(lit, arg=name)

    async def enter(self, username: str, password: str = PASSWORD, *, how: str = "sign-up") -> None:
        """Fills in the account form, on whichever page it is; opens the page first if need be."""
        if self.page.url == "about:blank":
            await self.page.goto(self.url)
        await self.see("username").fill(username)
        await self.see("password").fill(password)
        await self.see(how).click()

    async def arrive(self, token: str, path: str = "/") -> None:
        """Comes with an account made elsewhere."""
        await self.page.route("**/elsewhere", lambda route: route.fulfill(content_type="text/html", body=EMPTY))
        await self.page.goto(f"{self.url}/elsewhere")
        await self.page.evaluate("token => localStorage.setItem('chorale.token', token)", token)
        await self.page.goto(self.url + path)

    async def create_server(self, name: str) -> None:
        await self.see("new-server").click()
        await self.see("server-name").fill(name)
        await self.see("create-server").click()
        await expect(self.page.get_by_role("dialog")).to_have_count(0)

    async def invite_link(self) -> str:
        await self.see("invite").click()
        link = self.see("invite-link")
        await expect(link).to_have_value(re.compile("/invite/"))
        text = await link.input_value()
        await self.page.keyboard.press("Escape")
        return text

    async def say(self, text: str) -> None:
        await self.see("composer").fill(text)
        await self.see("composer").press("Enter")

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)
