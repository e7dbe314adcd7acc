"""Firefox without a window, driven by WebDriver BiDi, which it speaks itself: no driver program, no package.

Its ICE knows no loopback, so a node must have an address of another interface (`own_address`).
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ifaddr
import websockets

SCRIPT = Path(__file__).with_name("firefox_whip.js")
TIMEOUT = 60  # seconds for any one step; starting takes three, on a machine that is busy many times that
ANNOUNCEMENT = "WebDriver BiDi listening on "

# It may talk to this machine and to nobody else: everything that is not loopback goes to a proxy that does not exist.
PREFERENCES: dict[str, str | int | bool] = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    # Candidates are addresses, not names that would have to be multicast.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    # A microphone that says a tone, without asking anybody.
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}


class Page:
    """One page. Its functions take and return JSON."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self._context = ""

    async def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """One after the other. Raises RuntimeError with what Firefox says."""
        self._count += 1
        await self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        async with asyncio.timeout(TIMEOUT):
            while (answer := json.loads(await self._socket.recv())).get("id") != self._count:
                pass  # an event
        if answer["type"] != "success":
            raise RuntimeError(f"{method}: {answer}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> None:
        tree = await self.command("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]
        await self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, script: str) -> None:
        """As an inline script of the page: what it declares stays."""
        await self.call("text => document.head.append(Object.assign(document.createElement('script'), {text}))", script)

    async def call(self, function: str, argument: object = None) -> Any:
        """What `function` returns for `argument`, or its promise brings. Raises RuntimeError with what it throws."""
        declaration = f"async argument => JSON.stringify(await ({function})(JSON.parse(argument)) ?? null)"
        answer = await self.command(
            "script.callFunction",
            functionDeclaration=declaration,
            arguments=[{"type": "string", "value": json.dumps(argument)}],
            awaitPromise=True,
            target={"context": self._context},
        )
        if answer["type"] != "success":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])


def own_address() -> str:
    """An IPv4 address of this machine, on another interface than the loopback one. Raises RuntimeError without."""
    interfaces = ([ip_address(ip.ip) for ip in each.ips if isinstance(ip.ip, str)] for each in ifaddr.get_adapters())
    others = (addresses for addresses in interfaces if not any(each.is_loopback for each in addresses))
    found = next((str(each) for addresses in others for each in addresses if not each.is_link_local), None)
    if found is None:
        raise RuntimeError("Firefox needs an address on an interface that is not loopback")
    return found


def executable() -> str:
    """The system's Firefox. Raises RuntimeError where there is none."""
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None:
        raise RuntimeError("these tests need Firefox: apt-get install firefox-esr")
    return found


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[Page]:
    """A new one, with an empty `profile`."""
    _write(profile)
    process = await asyncio.create_subprocess_exec(
        executable(),
        "--headless",
        "--no-remote",
        "--profile",
        str(profile),
        "--remote-debugging-port=0",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    reading: asyncio.Task[None] | None = None
    try:
        assert process.stderr is not None
        address = await asyncio.wait_for(_announced(process.stderr), TIMEOUT)
        reading = asyncio.create_task(_drain(process.stderr))
        async with websockets.connect(f"{address}/session", max_size=None) as socket:
            page = Page(socket)
            await page.command("session.new", capabilities={})
            yield page
            await page.command("browser.close")
        await asyncio.wait_for(process.wait(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if reading is not None:
            await reading


def _write(profile: Path) -> None:
    profile.mkdir()
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))


async def _announced(stderr: asyncio.StreamReader) -> str:
    said = ""
    while line := (await stderr.readline()).decode(errors="replace"):
        said += line
        if line.startswith(ANNOUNCEMENT):
            return line.removeprefix(ANNOUNCEMENT).strip()
    raise RuntimeError(f"Firefox ended:\n{said}")


async def _drain(stream: asyncio.StreamReader) -> None:
    """So that it never waits for somebody to read what it says."""
    while await stream.read(65536):
        pass
