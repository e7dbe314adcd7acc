"""Chromium, one process a voice, driven by Playwright."""

import base64
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.end_to_end.speech import MICROPHONE_RATE, SCORING_RATE, Samples, Voice, resample

RECORDER, WATCHER = (Path(__file__).with_name(name) for name in ("recorder.js", "watcher.js"))

# mDNS stays off: it would multicast on the machine's real interface. Names resolve to nothing but this machine.
ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--no-pings",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


@dataclass(frozen=True)
class Heard:
    """What one slot of one browser played, in order: (CSRC or None, samples at `SCORING_RATE`)."""

    mid: str | None
    runs: list[tuple[int | None, Samples]] = field(default_factory=list)


def by_csrc(recording: list[Heard]) -> dict[int | None, Samples]:
    """Everything that was heard of each CSRC, whichever slots carried it."""
    pieces: dict[int | None, list[Samples]] = {}
    for slot in recording:
        for csrc, samples in slot.runs:
            pieces.setdefault(csrc, []).append(samples)
    return {csrc: np.concatenate(parts) for csrc, parts in pieces.items()}


class Tab:
    """A page with the recorder in it. `complaints` collects uncaught errors and console errors."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.concealed = ""
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    async def record(self, seconds: float) -> list[Heard]:
        """Keep what is heard from now on, for `seconds` of played sound.

        `concealed` then says how much of it the jitter buffer made up, over all slots.
        """
        before = await self._concealed()
        await self.page.evaluate("choraleRecorder.start()")
        await self.page.wait_for_timeout(seconds * 1000)
        recorded = await self.page.evaluate("choraleRecorder.stop()")
        self.concealed = f"({(await self._concealed() - before) / MICROPHONE_RATE * 1000:.0f} ms concealed)"
        return [self._heard(slot) for slot in recorded]

    async def _concealed(self) -> int:
        """Samples made up so far, those of silence apart."""
        reports = await self.inbound()
        return sum(each.get("concealedSamples", 0) - each.get("silentConcealedSamples", 0) for each in reports)

    async def inbound(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], await self.page.evaluate("choraleRecorder.inbound()"))

    @staticmethod
    def _heard(slot: dict[str, Any]) -> Heard:
        assert slot["error"] is None, slot["error"]
        pcm = np.frombuffer(base64.b64decode(slot["pcm"]), np.int16).astype(np.float32)
        pcm /= 32768
        starts = [at for _, at in slot["runs"]]
        runs = [
            (csrc, resample(pcm[start:end], MICROPHONE_RATE, SCORING_RATE))
            for (csrc, start), end in zip(slot["runs"], [*starts[1:], len(pcm)], strict=True)
            if end > start
        ]
        return Heard(slot["mid"], runs)


def executable() -> str:
    """The system's Chromium. Raises RuntimeError where there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise RuntimeError("these tests need Chromium: apt-get install chromium")
    return found


@asynccontextmanager
async def process(
    voice: Voice | None = None, camera: Path | None = None, *more: str, program: Path | None = None
) -> AsyncIterator[Browser]:
    """One Chromium whose microphone is `voice`, looped (a plain tone without one), and whose camera films a file.
    `program`: another than the system's."""
    arguments = [*ARGUMENTS, *more]
    arguments += [f"--use-file-for-fake-audio-capture={voice.file}"] if voice else []
    arguments += [f"--use-file-for-fake-video-capture={camera}"] if camera else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program or executable(), args=arguments)
        try:
            yield started
        finally:
            await started.close()


async def profile(process: Browser) -> BrowserContext:
    """Somebody's who may use microphone and camera."""
    context = await process.new_context(permissions=["microphone", "camera"])
    for script in (RECORDER, WATCHER):
        await context.add_init_script(path=script)
    return context


@asynccontextmanager
async def browser(voice: Voice | None = None) -> AsyncIterator[BrowserContext]:
    """A profile in a process of its own."""
    async with process(voice) as started:
        yield await profile(started)


OpenTab = Callable[[Voice | None], AbstractAsyncContextManager[Tab]]


@asynccontextmanager
async def tab(voice: Voice | None = None) -> AsyncIterator[Tab]:
    async with browser(voice) as context:
        yield Tab(await context.new_page())
