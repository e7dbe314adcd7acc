"""Whatever lies between a browser and the node: no UDP, a relay, IPv6, a NAT that forgets, a network that changes."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from proto.signalling import Arrived
from tests.clients.aiortc_client import RATE, AiortcClient, Samples, loudest_frequency, rms, tone
from tests.end_to_end.browser import by_csrc
from tests.end_to_end.gathering import Gathering, Guest, gathering
from tests.end_to_end.person import Person
from tests.end_to_end.server import Server, serve
from tests.end_to_end.speech import SCORING_RATE, Voice
from tests.end_to_end.translator import translator

DETOUR = Path(__file__).with_name("detour.js")
HERS, HIS = 440, 1000  # Hz
TURN_SECRET = "not a secret on loopback"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def hum(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    """A tone without a pause, in which every break is heard."""
    file = tmp_path_factory.mktemp("hum") / "hum.wav"
    wavfile.write(file, RATE, (tone(HERS) * 32767).astype(np.int16))
    return Voice("hum", file, np.zeros(0, np.float32))


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """coturn on loopback, with the shared secret. Its port."""
    program = shutil.which("turnserver")
    assert program, "these tests need coturn: apt-get install coturn"
    port = free_port()
    folder = tmp_path_factory.mktemp("coturn")
    process = subprocess.Popen(
        [
            program,
            "-n",
            "--listening-ip=127.0.0.1",
            "--relay-ip=127.0.0.1",
            f"--listening-port={port}",
            "--use-auth-secret",
            f"--static-auth-secret={TURN_SECRET}",
            "--realm=chorale.test",
            "--allow-loopback-peers",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            f"--pidfile={folder}/turn.pid",
            f"--log-file={folder}/turn.log",
            "--simple-log",
            f"--userdb={folder}/turn.db",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, relay: int) -> Iterator[Server]:
    """With every way in."""
    settings = {
        "CHORALE_MEDIA_ADDRESSES": "127.0.0.1,::1",
        "CHORALE_MEDIA_WORKERS": "2",
        "CHORALE_TURN_URLS": f"turn:127.0.0.1:{relay}?transport=udp",
        "CHORALE_TURN_SECRET": TURN_SECRET,
    }
    with serve(tmp_path_factory.mktemp("data"), settings) as server:
        yield server


@dataclass
class Call:
    """Somebody at a browser, who hums, and a program that does so in another key."""

    here: Gathering
    browser: Person
    client: AiortcClient
    frames: list[dict[str, Any]] = field(default_factory=list)  # that the browser sent

    async def heard_by_client(self, seconds: float) -> Samples:
        hum = self.here.ids["hum"]
        (csrc,) = [each.csrc for each in self.client.participants.values() if str(each.user_id) == hum]
        return await self.client.listen(await self.client.slot_of(csrc), seconds)

    async def heard_by_browser(self, seconds: float) -> Samples:
        return by_csrc(await self.browser.record(seconds))[self.client.joined.csrc]

    async def hear_each_other(self) -> None:
        of_browser, of_client = await asyncio.gather(self.heard_by_client(2), self.heard_by_browser(2))
        assert loudest_frequency(of_browser[-RATE:]) == pytest.approx(HERS, abs=10)
        assert loudest_frequency(of_client[-SCORING_RATE:]) * SCORING_RATE / RATE == pytest.approx(HIS, abs=10)


def longest_break(samples: Samples, rate: int) -> float:
    """Seconds of the longest stretch in which less than a tenth of the whole's loudness was heard."""
    window = rate // 50
    loud = [rms(samples[at : at + window]) > rms(samples) / 10 for at in range(0, len(samples) - window, window)]
    longest = run = 0
    for each in loud:
        run = 0 if each else run + 1
        longest = max(longest, run)
    return longest * window / rate


@asynccontextmanager
async def call(node: Server, hum: Voice, **detour: Any) -> AsyncIterator[Call]:
    rules = {"keep": ".", "ports": {}, "relay": False} | detour
    async with gathering(node, {"hum": hum}) as here, Guest(node.url, f"aiortc_{here.suffix}") as guest:
        browser = here.people["hum"]
        address, admission = await guest.join(here.link, "Lounge")
        async with AiortcClient(address, admission, microphone=tone(HIS)) as client:
            it = Call(here, browser, client)
            browser.page.on("websocket", lambda ws: ws.on("framesent", lambda text: it.frames.append(json.loads(text))))
            # In the page that is there, whose connections are made when it joins.
            await browser.page.evaluate(f"{{ const chorale_detour = {json.dumps(rules)}; {DETOUR.read_text()} }}")
            await browser.join_voice("Lounge")
            await client.told(Arrived, lambda frame: str(frame.participant.user_id) == here.ids["hum"])
            yield it
            await browser.leave()


@pytest.mark.timeout(120)
async def test_a_browser_without_udp_comes_in_over_tcp(node: Server, hum: Voice) -> None:
    before = node.counters()["tcp_connections"]
    async with call(node, hum, keep=" tcp ") as it:
        await it.hear_each_other()
        assert node.counters()["tcp_connections"] > before


@pytest.mark.timeout(120)
async def test_a_browser_behind_a_turn_server_comes_in_through_it(node: Server, hum: Voice) -> None:
    async with call(node, hum, keep=" udp .* 127.0.0.1 ", relay=True) as it:
        await it.hear_each_other()


@pytest.mark.timeout(120)
async def test_a_browser_comes_in_over_ipv6(node: Server, hum: Voice) -> None:
    async with call(node, hum, keep=" udp .* ::1 ") as it:
        await it.hear_each_other()


@pytest.mark.timeout(120)
async def test_a_nat_that_forgets_breaks_neither_direction_for_a_second(
    tmp_path_factory: pytest.TempPathFactory, hum: Voice
) -> None:
    port = free_port()
    settings = {"CHORALE_MEDIA_WORKERS": "1", "CHORALE_MEDIA_PORT": str(port)}
    with serve(tmp_path_factory.mktemp("data"), settings) as server:
        async with (
            translator(("127.0.0.1", port)) as nat,
            call(server, hum, keep=" udp ", ports={str(port): str(nat.port)}) as it,
        ):
            await it.hear_each_other()
            mappings = nat.mappings
            recording = asyncio.gather(it.heard_by_client(6), it.heard_by_browser(6))
            await asyncio.sleep(2)
            nat.rebind()
            begun = asyncio.get_running_loop().time()
            of_browser, of_client = await recording
            assert asyncio.get_running_loop().time() - begun < 4 + 1, "the voice came to a halt"
            assert nat.mappings > mappings
            assert longest_break(of_browser, RATE) < 1
            assert longest_break(of_client, SCORING_RATE) < 1
            await it.hear_each_other()


@pytest.mark.timeout(120)
async def test_an_ice_restart_breaks_neither_direction_for_a_second(node: Server, hum: Voice) -> None:
    async with call(node, hum, keep=" udp .* 127.0.0.1 ") as it:
        await it.hear_each_other()
        offers = [frame for frame in it.frames if frame["op"] == "offer"]
        recording = asyncio.gather(it.heard_by_client(6), it.heard_by_browser(6))
        await asyncio.sleep(2)
        # The network has changed.
        await it.browser.page.evaluate("window.dispatchEvent(new Event('online'))")
        of_browser, of_client = await recording
        assert len([frame for frame in it.frames if frame["op"] == "offer"]) > len(offers)
        assert longest_break(of_browser, RATE) < 1
        assert longest_break(of_client, SCORING_RATE) < 1
        await it.hear_each_other()
