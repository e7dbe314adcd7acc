"""Clients that share no code with a browser, nor with this project, in the same room as one."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from native import rtp
from tests.clients import opus
from tests.clients.aiortc_client import RATE, AiortcClient
from tests.clients.node_client import node_client
from tests.end_to_end.browser import by_csrc
from tests.end_to_end.gathering import GAUGES, Guest, everything_freed, gathering
from tests.end_to_end.scoring import CLEAR, FOREIGN, score
from tests.end_to_end.server import Server
from tests.end_to_end.speech import MICROPHONE_RATE, SCORING_RATE, Voice, resample

SECONDS = 75  # of speech prepared for a client: more than any test listens


def looped(voice: Voice) -> opus.Samples:
    """`SECONDS` of the voice's loop at 48 kHz."""
    _, integers = wavfile.read(voice.file)
    return np.resize(integers.astype(np.float32) / 32768, SECONDS * MICROPHONE_RATE)


@pytest.mark.timeout(180)
async def test_libdatachannel_and_a_browser_hear_each_other(
    chorale: Server, voices: dict[str, Voice], tmp_path: Path
) -> None:
    ada, alan = voices["ada"], voices["alan"]
    packets = opus.packetize(opus.encode(looped(alan)), ssrc=0xC0FFEE)
    async with gathering(chorale, {"ada": ada}) as here, Guest(chorale.url, f"node_{here.suffix}") as guest:
        browser = here.people["ada"]
        await browser.join_voice("Lounge")
        address, admission = await guest.join(here.link, "Lounge")
        async with node_client(address, admission, packets, tmp_path) as client:
            recording = await browser.record(5 * alan.seconds + 2)
            await client.leave()
            await browser.leave()

        heard = by_csrc(recording)[client.joined["csrc"]]
        assert browser.csrcs[client.joined["csrc"]] == guest.user_id
        assert score(heard, alan) >= CLEAR
        assert score(heard, ada) < FOREIGN

        (csrc,) = [each["csrc"] for each in client.joined["participants"] if each["user_id"] == here.ids["ada"]]
        of_ada = [packet for packet in client.received if csrc in rtp.parse(packet)[0].csrcs]
        assert len({rtp.parse(packet)[0].ssrc for packet in of_ada}) == 1, "one voice alone moves between slots"
        heard = resample(opus.decode(of_ada), opus.RATE, SCORING_RATE)
        assert score(heard, ada) >= CLEAR
        assert score(heard, alan) < FOREIGN
    assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)


@pytest.mark.timeout(180)
async def test_aiortc_and_a_browser_hear_each_other(chorale: Server, voices: dict[str, Voice]) -> None:
    ada, grace = voices["ada"], voices["grace"]
    async with gathering(chorale, {"ada": ada}) as here, Guest(chorale.url, f"aiortc_{here.suffix}") as guest:
        browser = here.people["ada"]
        await browser.join_voice("Lounge")
        address, admission = await guest.join(here.link, "Lounge")
        async with AiortcClient(address, admission, microphone=grace.file) as client:
            (csrc,) = [each.csrc for each in client.joined.participants if str(each.user_id) == here.ids["ada"]]
            slot = await client.slot_of(csrc)
            recording, heard_of_ada = await asyncio.gather(
                browser.record(5 * grace.seconds + 2), client.listen(slot, 5 * ada.seconds + 2)
            )
            own = client.joined.csrc
        await browser.leave()

        assert browser.csrcs[own] == guest.user_id
        heard = by_csrc(recording)[own]
        assert score(heard, grace) >= CLEAR
        assert score(heard, ada) < FOREIGN
        heard = resample(heard_of_ada, RATE, SCORING_RATE)
        assert score(heard, ada) >= CLEAR
        assert score(heard, grace) < FOREIGN
    assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)
