"""Recordings of what Chromium sends: NAME.rtpdump, packets as they came, and NAME.json, what was agreed on.

The former is rtpdump's format (rtptools; Wireshark opens it), so it holds decrypted RTP and RTCP with times in ms.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("data")
MAGIC = b"#!rtpplay1.0 127.0.0.1/5004\n"


@dataclass(frozen=True)
class Packet:
    at_ms: int  # since the first
    rtcp: bool
    data: bytes


@dataclass(frozen=True)
class Encoding:
    """One simulcast stream, or the only stream."""

    rid: str | None
    ssrc: int
    rtx_ssrc: int | None
    width: int
    height: int


@dataclass(frozen=True)
class Description:
    codec: str  # "vp8" "h264" "vp9" "av1"
    scalability_mode: str
    frame_rate: int
    payload_type: int
    rtx_payload_type: int | None
    extensions: dict[str, int]  # names of sdp_answer.EXTENSIONS to ids, as negotiated
    encodings: list[Encoding]  # smallest first
    browser: str
    field_trials: str
    set_extensions: list[str] | None  # parts of URIs given to setHeaderExtensionsToNegotiate
    offered_extensions: list[list[str]]  # (URI, direction) by getHeaderExtensionsToNegotiate
    offer: str
    answer: str


@dataclass(frozen=True)
class Recording:
    name: str
    description: Description
    packets: list[Packet]


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.rtpdump"))


def load(name: str, folder: Path = FOLDER) -> Recording:
    """Raises ValueError when the file ends within a packet, OSError when there is none."""
    head = json.loads((folder / f"{name}.json").read_text())
    head["encodings"] = [Encoding(**encoding) for encoding in head["encodings"]]
    return Recording(name, Description(**head), read(folder / f"{name}.rtpdump"))


def save(recording: Recording, folder: Path = FOLDER) -> None:
    write(folder / f"{recording.name}.rtpdump", recording.packets)
    (folder / f"{recording.name}.json").write_text(json.dumps(asdict(recording.description), indent=1) + "\n")


def read(file: Path) -> list[Packet]:
    return parse(file.read_bytes(), str(file))


def parse(content: bytes, origin: str) -> list[Packet]:
    """Raises ValueError, with `origin`, on what is no complete rtpdump."""
    if not content.startswith(b"#!rtpplay1.0 "):
        raise ValueError(f"{origin} is no rtpdump")
    at = content.index(b"\n") + 1 + 16
    packets = []
    while at < len(content):
        if at + 8 > len(content):
            raise ValueError(f"{origin} ends within a packet")
        length, rtp_length, offset = struct.unpack_from("!HHI", content, at)
        data = content[at + 8 : at + length]
        if len(data) != length - 8:
            raise ValueError(f"{origin} ends within a packet")
        packets.append(Packet(offset, rtp_length == 0, data))
        at += length
    return packets


def write(file: Path, packets: Iterable[Packet]) -> None:
    with file.open("wb") as out:
        out.write(MAGIC + bytes(16))
        for packet in packets:
            plain_length = 0 if packet.rtcp else len(packet.data)
            out.write(struct.pack("!HHI", 8 + len(packet.data), plain_length, packet.at_ms) + packet.data)
