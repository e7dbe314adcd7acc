"""Somebody at the page with a camera, and what they see of others."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from playwright.async_api import expect

from tests.clients.picture import Pixels
from tests.end_to_end.browser import process, profile
from tests.end_to_end.person import Person
from tests.end_to_end.speech import Voice

PATIENCE = 20.0  # seconds until something that should happen counts as never happening


class Viewer(Person):
    """Pictures are named by the name of whose camera they are of."""

    async def film(self) -> None:
        """Turn the camera on."""
        await self.see("camera").click()
        await self.see("turn-camera-on").click()
        await expect(self._tile(self.name)).to_have_attribute("data-shown", "true")

    def _tile(self, name: str) -> Any:
        return self.page.locator(f'[data-testid="video-tile"][data-user="{name}"]')

    async def shows(self, name: str) -> None:
        """Returns once there is a picture of them."""
        await expect(self._tile(name)).to_have_attribute("data-shown", "true", timeout=PATIENCE * 1000)

    async def width(self, name: str) -> int:
        """Of the picture that is shown, in its own pixels."""
        return int(await self._watcher("width", name))

    async def shows_width(self, name: str, fits: Callable[[int], bool], within: float = PATIENCE) -> None:
        """Returns once the picture is that wide. Raises TimeoutError."""

        async def wide() -> bool:
            return fits(await self.width(name))

        await until(wide, within)

    async def look(self, name: str) -> None:
        await self._watcher("look", name)

    async def longest_gap(self, name: str) -> float:
        """Seconds between two frames, since `look`."""
        looked = await self._watcher("looked", name)
        assert looked["count"] > 0, "nothing was shown"
        return float(looked["longest"]) / 1000

    async def pixels(self, name: str) -> Pixels:
        shown = await self._watcher("pixels", name)
        data = np.frombuffer(base64.b64decode(shown["data"]), np.uint8)
        return data.reshape(shown["height"], shown["width"], 4)[:, :, :3]

    async def received(self) -> list[dict[str, Any]]:
        """inbound-rtp of the pictures that have come."""
        reports = await self._watcher("inbound")
        return [each for each in reports if each.get("framesDecoded")]

    async def sent(self) -> list[dict[str, Any]]:
        """outbound-rtp of the camera's encodings, the smallest first."""
        reports = cast(list[dict[str, Any]], await self._watcher("outbound"))
        order = "qhf"
        camera = [each for each in reports if each.get("framesEncoded")]
        return sorted(camera, key=lambda each: order.find(each.get("rid", "")))

    async def made_up(self) -> int:
        """Milliseconds of sound that were made up, over all slots, silence apart."""
        return await self._concealed() // 48

    async def _watcher(self, call: str, *arguments: Any) -> Any:
        return await self.page.evaluate(f"arguments => choraleWatcher.{call}(...arguments)", list(arguments))


async def until(condition: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
    """Looked at ten times a second. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.1)


@asynccontextmanager
async def viewer(
    name: str, url: str, voice: Voice | None = None, camera: Path | None = None, *more: str, program: Path | None = None
) -> AsyncIterator[Viewer]:
    """With a browser process of their own."""
    async with process(voice, camera, *more, program=program) as started:
        yield Viewer(await (await profile(started)).new_page(), name, url)
