"""Record what Chromium sends as video, for the replays of test_replay.py.

    python -m tests.recordings.record            # every recording anew, into tests/recordings/data
    python -m tests.recordings.record vp8 av1_svc_key
    python -m tests.recordings.record --list
    python -m tests.recordings.record vp8 --into OTHER_FOLDER --seconds 10

A page paints a moving picture with its frame number as a bar code, and publishes it; a far end in Python answers, says
that the path is wide, and keeps what comes from the first packet on, opened. In the middle third it asks one encoding
after the other for a key frame. It needs Chromium (apt-get install chromium) and the development environment (make
build), and takes some 10 s each. The sizes of the files are printed; all together should stay below 6 MB, as they are
committed.
"""

import argparse
import asyncio
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from playwright.async_api import Page, async_playwright

from tests.end_to_end.browser import ARGUMENTS, executable
from tests.recordings.far_end import FarEnd, element
from tests.recordings.recording import FOLDER, Description, Encoding, Packet, Recording, save
from tests.recordings.sdp_answer import EXTENSIONS, Agreement, answer

PUBLISHER = Path(__file__).with_name("publisher.js")
PATIENCE = 30.0  # seconds until the first packet

ALL_EXTENSIONS = (
    "dependency-descriptor",
    "video-layers-allocation00",
    "abs-capture-time",
    "playout-delay",
    "transport-wide-cc",
    "abs-send-time",
)


@dataclass(frozen=True)
class Layer:
    rid: str | None
    divisor: int
    bitrate: int  # bits/s


# Without it Chromium sends fewer encodings of a picture below 960×540.
THREE_LAYERS = "WebRTC-LegacySimulcastLayerLimit/Disabled/"

SIMULCAST = (Layer("q", 4, 50_000), Layer("h", 2, 100_000), Layer("f", 1, 250_000))
ALONE = (Layer(None, 1, 900_000),)


@dataclass(frozen=True)
class Plan:
    """One recording."""

    name: str
    codec: str
    scalability_mode: str
    encodings: tuple[Layer, ...] = SIMULCAST
    set_extensions: tuple[str, ...] | None = ALL_EXTENSIONS
    field_trials: str = THREE_LAYERS
    leave_out: frozenset[str] = frozenset()
    width: int = 640
    height: int = 360
    frame_rate: int = 15


# Chromium sends three spatial layers from 960×540 on: its smallest VP9 layer is 240×135.
WITHOUT_DESCRIPTOR = frozenset({"dependency_descriptor"})
PLANS = [
    Plan("vp8", "vp8", "L1T3", leave_out=WITHOUT_DESCRIPTOR),
    Plan(
        "vp8_descriptor", "vp8", "L1T3", field_trials=THREE_LAYERS + "WebRTC-ForceSendPlayoutDelay/min_ms:0,max_ms:200/"
    ),
    Plan("h264", "h264", "L1T1", leave_out=WITHOUT_DESCRIPTOR),
    Plan("h264_descriptor", "h264", "L1T3"),
    Plan("vp9", "vp9", "L1T3", leave_out=WITHOUT_DESCRIPTOR),
    Plan("vp9_descriptor", "vp9", "L1T3"),
    Plan("vp9_svc_key", "vp9", "L3T3_KEY", ALONE, leave_out=WITHOUT_DESCRIPTOR, width=960, height=540),
    Plan("vp9_svc_key_descriptor", "vp9", "L3T3_KEY", ALONE, width=960, height=540),
    Plan("vp9_svc", "vp9", "L3T3", ALONE, leave_out=WITHOUT_DESCRIPTOR, width=960, height=540),
    Plan("vp9_svc_descriptor", "vp9", "L3T3", ALONE, width=960, height=540),
    Plan("av1", "av1", "L1T3"),
    Plan("av1_alone", "av1", "L1T3", ALONE),
    Plan("av1_svc_key", "av1", "L3T3_KEY", ALONE, width=960, height=540),
    Plan("av1_svc", "av1", "L3T3", ALONE, width=960, height=540),
]


async def record(plan: Plan, seconds: float) -> Recording:
    """Raises TimeoutError when nothing comes, RuntimeError when an encoding is not sent, or not in its size."""
    far_end = FarEnd()
    try:
        async with async_playwright() as playwright:
            arguments = [*ARGUMENTS, *([f"--force-fieldtrials={plan.field_trials}"] if plan.field_trials else [])]
            browser = await playwright.chromium.launch(executable_path=executable(), args=arguments, headless=True)
            try:
                page = await browser.new_page()
                await page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
                await page.goto("http://localhost/")
                await page.evaluate(PUBLISHER.read_text())
                offered = await page.evaluate("plan => publisher.offer(plan)", asdict(plan) | {"leave_out": []})
                agreed = answer(offered["sdp"], far_end, codec=plan.codec, leave_out=plan.leave_out)
                far_end.expect(agreed.extensions.get("transport_cc"))
                await page.evaluate("sdp => publisher.answer(sdp)", agreed.answer)
                packets = await record_all(page, plan, far_end, seconds)
                sending = await page.evaluate("publisher.sending()")
                if not complete(plan, sending):
                    raise RuntimeError(f"{plan.name}: not every encoding is sent: {sending}")
                browser_version = browser.version
            finally:
                await browser.close()
    finally:
        far_end.close()
    description = Description(
        codec=plan.codec,
        scalability_mode=plan.scalability_mode,
        frame_rate=plan.frame_rate,
        payload_type=agreed.payload_type,
        rtx_payload_type=agreed.rtx_payload_type,
        extensions=agreed.extensions,
        encodings=sent_encodings(agreed, sending, packets),
        browser=f"Chromium {browser_version}",
        field_trials=plan.field_trials,
        set_extensions=list(plan.set_extensions) if plan.set_extensions is not None else None,
        offered_extensions=offered["extensions"],
        offer=offered["sdp"],
        answer=agreed.answer,
    )
    return Recording(plan.name, description, packets)


async def record_all(page: Page, plan: Plan, far_end: FarEnd, seconds: float) -> list[Packet]:
    """What comes in `seconds`, counted from the first packet; every encoding is asked for a key frame in the middle."""
    deadline = monotonic() + PATIENCE
    while not (first := next((each.at for each in far_end.arrivals if not each.rtcp), None)):
        if monotonic() > deadline:
            raise TimeoutError(f"{plan.name}: nothing comes, {far_end.refused} refused")
        await asyncio.sleep(0.05)
    await asyncio.sleep(first + seconds / 3 - monotonic())
    sending = await page.evaluate("publisher.sending()")
    for each in sending:
        far_end.ask_key_frames([each["ssrc"]])
        await asyncio.sleep(seconds / 3 / len(sending))
    await asyncio.sleep(first + seconds - monotonic())
    kept = [each for each in far_end.arrivals if first <= each.at]
    return [Packet(round((each.at - first) * 1000), each.rtcp, each.packet) for each in kept]


def complete(plan: Plan, sending: list[dict[str, Any]]) -> bool:
    """Whether every encoding had its full size at the end."""
    wide = {layer.rid: plan.width // layer.divisor for layer in plan.encodings}
    return len(sending) == len(wide) and all(each["width"] == wide[each["rid"]] for each in sending)


def sent_encodings(agreed: Agreement, sending: list[dict[str, Any]], packets: list[Packet]) -> list[Encoding]:
    """Smallest first. Of simulcast the offer names no SSRCs; RTX is recognised by the repaired RID that it carries."""
    repairs = dict(agreed.ssrcs)
    rids: dict[str, int] = {}
    extension = agreed.extensions.get("repaired_rid")
    for packet in packets:
        if not packet.rtcp and extension and (rid := element(packet.data, extension)):
            rids[rid.decode()] = struct.unpack_from("!I", packet.data, 8)[0]
    return [
        Encoding(
            each["rid"], each["ssrc"], rids.get(each["rid"]) or repairs.get(each["ssrc"]), each["width"], each["height"]
        )
        for each in sorted(sending, key=lambda each: int(each["width"]))
    ]


def seen(recording: Recording) -> str:
    """Which of the negotiated extensions are on the wire, in how many packets."""
    media = [
        packet.data
        for packet in recording.packets
        if not packet.rtcp and packet.data[1] & 0x7F == recording.description.payload_type
    ]
    ids = recording.description.extensions
    counts = {
        name: sum(element(data, ids[name]) is not None for data in media) for name in EXTENSIONS.values() if name in ids
    }
    return f"{len(media)} packets; " + ", ".join(f"{name} {count}" for name, count in counts.items())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.recordings.record",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="which recordings; all of them by default")
    parser.add_argument(
        "--into", type=Path, default=FOLDER, help="folder for the files (default: tests/recordings/data)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each (default: 5)")
    parser.add_argument("--list", action="store_true", help="say what can be recorded, and end")
    options = parser.parse_args(arguments)
    if options.list:
        for plan in PLANS:
            print(f"{plan.name:24}{plan.codec:6}{plan.scalability_mode:10}{len(plan.encodings)} encodings")
        return 0
    if unknown := set(options.names) - {plan.name for plan in PLANS}:
        parser.error(f"no such recording: {', '.join(sorted(unknown))}; --list says which there are")
    options.into.mkdir(parents=True, exist_ok=True)
    for plan in PLANS:
        if options.names and plan.name not in options.names:
            continue
        recording = asyncio.run(record(plan, options.seconds))
        save(recording, options.into)
        size = (options.into / f"{plan.name}.rtpdump").stat().st_size
        print(f"{plan.name}: {size / 1000:.0f} kB, {seen(recording)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
