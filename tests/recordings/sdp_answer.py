"""The answer to Chromium's offer of one video m-line, written by hand."""

import re
from dataclasses import dataclass, field

from tests.recordings.far_end import FarEnd

EXTENSIONS = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": "mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": "rid",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": "repaired_rid",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": "transport_cc",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": "abs_send_time",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time": "abs_capture_time",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": "playout_delay",
    "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00": "video_layers_allocation",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension": "dependency_descriptor",
    "urn:3gpp:video-orientation": "video_orientation",
    "urn:ietf:params:rtp-hdrext:toffset": "toffset",
    "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type": "video_content_type",
    "http://www.webrtc.org/experiments/rtp-hdrext/video-timing": "video_timing",
    "http://www.webrtc.org/experiments/rtp-hdrext/color-space": "color_space",
}
START_BITRATE = 4000  # kb/s


@dataclass
class Agreement:
    """What offer and answer have agreed on."""

    payload_type: int
    rtx_payload_type: int | None
    rids: list[str]  # lowest first
    ssrcs: list[tuple[int, int | None]]  # (media, RTX), when the offer names them
    extensions: dict[str, int] = field(default_factory=dict)
    answer: str = ""


def answer(offer: str, far_end: FarEnd, *, codec: str, leave_out: frozenset[str] = frozenset()) -> Agreement:
    """Accept the offer's first payload type of `codec`, its RTX, and every extension but those to `leave_out`."""
    lines = offer.split("\r\n")
    payload_type = next(
        int(found[1]) for line in lines if (found := re.match(rf"a=rtpmap:(\d+) {codec}/90000", line, re.IGNORECASE))
    )
    rtx = [int(found[1]) for line in lines if (found := re.match(rf"a=fmtp:(\d+) apt={payload_type}$", line))]
    rids = [found[1] for line in lines if (found := re.match(r"a=rid:(\S+) send", line))]
    groups = [found.groups() for line in lines if (found := re.match(r"a=ssrc-group:FID (\d+) (\d+)", line))]
    agreed = Agreement(
        payload_type, rtx[0] if rtx else None, rids, [(int(media), int(repair)) for media, repair in groups]
    )
    extmaps = []
    for line in lines:
        if found := re.match(r"a=extmap:(\d+)(?:/\S+)? (\S+)", line):
            name = EXTENSIONS.get(found[2])
            if name is not None and name not in leave_out:
                agreed.extensions[name] = int(found[1])
                extmaps.append(f"a=extmap:{found[1]} {found[2]}")
    mid = next(line for line in lines if line.startswith("a=mid:"))
    formats = [payload_type, *rtx[:1]]
    # As the path is known to be wide, no layer has to wait for an estimate of it.
    start = f"x-google-start-bitrate={START_BITRATE}"
    kept = [
        line
        for line in lines
        if (found := re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)) and int(found[1]) in formats
    ]
    host, port = far_end.address
    agreed.answer = "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {mid.removeprefix('a=mid:')}",
            "a=ice-lite",
            "a=extmap-allow-mixed",
            f"m=video {port} UDP/TLS/RTP/SAVPF {' '.join(map(str, formats))}",
            f"c=IN IP4 {host}",
            f"a=ice-ufrag:{far_end.ufrag}",
            f"a=ice-pwd:{far_end.password}",
            f"a=fingerprint:sha-256 {far_end.fingerprint}",
            "a=setup:passive",
            mid,
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtcp-rsize",
            *extmaps,
            *[f"{line};{start}" if line.startswith(f"a=fmtp:{payload_type} ") else line for line in kept],
            *(
                []
                if any(line.startswith(f"a=fmtp:{payload_type} ") for line in kept)
                else [f"a=fmtp:{payload_type} {start}"]
            ),
            *[f"a=rid:{rid} recv" for rid in rids],
            *([f"a=simulcast:recv {';'.join(rids)}"] if rids else []),
            f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
            "",
        ]
    )
    return agreed
