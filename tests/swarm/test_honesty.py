"""The load client beside other people's code: what it sends and what it receives is opened and decoded by them."""

import json
import subprocess
from pathlib import Path

import pytest

from native import rtp
from tests.clients import opus
from tests.clients.aiortc_client import RATE, loudest_frequency, rms, tone
from tests.swarm.aiortc_server import TOKEN, AiortcServer
from tests.swarm.conftest import BUILD, Programs
from tests.swarm.dump import opened, unstamped
from tests.swarm.program import frames, likeness, run, speech

pytestmark = pytest.mark.timeout(BUILD + 120)

PITCH = 440.0  # Hz


async def test_aiortc_understands_what_a_publisher_says(programs: Programs) -> None:
    async with AiortcServer(tone(PITCH)) as server:
        report = await run(programs, "--whip", server.whip, "--bearer", TOKEN, "--seconds", "2")
        assert server.deleted == 1
    # Half a second is in the buffer of aiortc when it stops.
    heard = server.ears[0].heard
    assert len(heard) > RATE
    assert likeness(heard, speech(2)) > 0.95
    (inbound,) = (each for each in server.statistics if each["type"] == "inbound-rtp")
    assert inbound["packetsLost"] == 0
    assert report["packets_sent"] - 5 <= inbound["packetsReceived"] <= report["packets_sent"]
    # aiortc knows it from our sender reports.
    assert any(each["type"] == "remote-outbound-rtp" for each in server.statistics)


async def test_what_a_player_receives_from_aiortc_is_what_libsrtp_opens(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "dump.jsonl"
    async with AiortcServer(tone(PITCH)) as server:
        report = await run(programs, "--whep", server.whep, "--bearer", TOKEN, "--seconds", "3", "--dump", file)
        assert server.deleted == 1
    dump = opened(file)
    assert len(dump.packets) == report["packets_received"] > 100
    assert report["lost"] == report["duplicates"] == report["refused"] == report["unannounced"] == 0
    assert {rtp.parse(packet)[0].ssrc for packet in dump.packets} == set(dump.slots)
    heard = opus.decode(dump.packets)
    assert rms(heard) > 0.1
    assert abs(loudest_frequency(heard) - PITCH) < 5
    # aiortc knows it from our receiver reports.
    (remote,) = (each for each in server.statistics if each["type"] == "remote-inbound-rtp")
    assert remote["packetsLost"] == 0


async def test_aiortc_receives_all_video_that_a_publisher_sends(programs: Programs) -> None:
    async with AiortcServer(tone(PITCH)) as server:
        report = await run(programs, "--whip", server.whip, "--bearer", TOKEN, "--seconds", "2", "--video")
    assert "a=simulcast:send q;h;f" in server.offers[0]
    inbound = {each["kind"]: each for each in server.statistics if each["type"] == "inbound-rtp"}
    assert inbound["video"]["packetsLost"] == 0
    sent = report["video_sent"]
    # It knows no simulcast: the largest encoding alone, 1.85 Mb/s.
    assert sent["packets"] - 20 <= inbound["video"]["packetsReceived"] <= sent["packets"] + sent["repaired"]
    # No decoder can make pictures of it, so it asks for key frames, and gets them.
    assert 1 < sent["key_frames"] <= sent["asked"] + 1
    # Our sender reports say which timestamps belong together.
    remote = [str(each["kind"]) for each in server.statistics if each["type"] == "remote-outbound-rtp"]
    assert sorted(remote) == ["audio", "video"]


async def test_a_player_receives_video_from_aiortc(programs: Programs) -> None:
    async with AiortcServer(tone(PITCH)) as server:
        report = await run(programs, "--whep", server.whep, "--bearer", TOKEN, "--seconds", "2", "--video")
    seen = report["video_seen"]
    assert seen["packets"] > 30
    assert report["lost"] == report["refused"] == report["unannounced"] == seen["holes"] == 0


def test_libsrtp_opens_what_the_engine_seals_and_it_is_the_speech_that_was_sent(
    programs: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "dump.jsonl"
    done = subprocess.run([programs.loopback, file, "2"], check=True, capture_output=True, text=True)
    dump, report = opened(file), json.loads(done.stdout)
    assert dump.profile == "AEAD_AES_128_GCM"
    assert len(dump.packets) == report["received"] > 80
    assert dump.compounds
    assert {rtp.parse(packet)[0].ssrc for packet in dump.packets} == set(dump.slots)
    # The speaker began with the file's first packet; what came before it had a slot is not here.
    said = frames()
    received = [unstamped(payload) for payload in dump.payloads]
    begin = said.index(received[0])
    assert received == (said + said)[begin : begin + len(received)]
    assert likeness(opus.decode(dump.packets), speech()) > 0.95
