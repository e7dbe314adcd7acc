"""Offers as real clients write them, offers as nobody should, and what is answered.

`offers/` holds what these wrote: Chromium 156, Firefox 153 (once with its `.local` candidates), aiortc 1.16,
libdatachannel by node-datachannel, GStreamer 1.22 (webrtcbin). What is of video alone is in `test_sdp_video.py`.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from data_plane.sdp import AudioLine, BadOffer, Offer, RefusedLine, VideoLine
from data_plane.sdp.section import MAX_LENGTH, MAX_LINE, MAX_LINES, MAX_MEDIA
from tests.data_plane.sdp_support import ADDRESSES, FINGERPRINT, answer, sections
from tests.data_plane.support import OFFERS, offer

NAMES = sorted(path.stem for path in OFFERS.iterdir())
CHROMIUM = offer("chromium")


@dataclass(frozen=True)
class Facts:
    """What there is to find: directions of audio, "video" with them, or the kind of what is refused; numbers of the
    microphone."""

    lines: list[str]
    payload_type: int
    ssrc: int | None  # None: not looked at
    level: int | None
    mid: int | None
    fingerprints: int = 1


EXPECTED = {
    "chromium": Facts(["sendonly", *["recvonly"] * 8], 111, 1594745187, 1, 4),
    "chromium-max-bundle-video": Facts(
        ["video recvonly", "sendonly", *["recvonly"] * 8, "video sendonly", "application"], 111, 3591534235, 14, 9
    ),
    "chromium-simulcast": Facts(
        [*["sendonly"] * 2, *["video sendonly"] * 2, *["recvonly"] * 8, *["video recvonly"] * 9], 111, None, 1, 4
    ),
    "chromium-simulcast-first": Facts(
        [*["video sendonly"] * 2, *["sendonly"] * 2, "recvonly", "video recvonly"], 111, None, 12, 9
    ),
    "firefox-balanced": Facts(["sendonly", *["recvonly"] * 8], 109, 3506865215, 1, 3),
    "firefox-max-bundle": Facts(["sendonly", *["recvonly"] * 8], 109, 757193329, 1, 3),
    "firefox-simulcast": Facts(["video sendonly", "sendonly", "recvonly", "video recvonly"], 109, 3706647619, 1, 3),
    "aiortc": Facts(["sendonly", *["recvonly"] * 3], 96, 2295817260, 2, 1, fingerprints=3),
    "aiortc-video": Facts(["sendonly", "video sendonly", "recvonly", "video recvonly"], 96, None, 2, 1, fingerprints=3),
    "aiortc-sendrecv": Facts(["video recvonly", "sendrecv", "application"], 96, 3297202529, 2, 1, fingerprints=3),
    "libdatachannel": Facts(["sendonly", *["recvonly"] * 3], 111, 0xC0FFEE, None, None),
    "gstreamer": Facts(["sendonly", *["recvonly"] * 2], 97, 2348987927, None, None),
}


def changed(old: str, new: str, sdp: str = CHROMIUM, count: int = -1) -> str:
    assert old in sdp
    return sdp.replace(old, new, count)


def kind(line: AudioLine | VideoLine | RefusedLine) -> str:
    match line:
        case AudioLine():
            return line.direction
        case VideoLine():
            return f"video {line.direction}"
        case RefusedLine():
            return line.media


# Real clients


@pytest.mark.parametrize("name", NAMES)
def test_the_offer_of_a_real_client_is_understood(name: str) -> None:
    parsed, expected = Offer.parse(offer(name)), EXPECTED[name]
    assert [kind(each) for each in parsed.lines] == expected.lines
    microphone = parsed.microphone
    assert microphone is not None
    assert microphone == parsed.audio[0]
    assert microphone.payload_type == expected.payload_type
    assert expected.ssrc in (None, microphone.ssrc)
    assert (microphone.level_extension, microphone.mid_extension) == (expected.level, expected.mid)
    assert (parsed.setup, len(parsed.fingerprints)) == ("actpass", expected.fingerprints)
    assert f"a=ice-ufrag:{parsed.ufrag}\r\n" in offer(name)
    assert f"a=ice-pwd:{parsed.password}\r\n" in offer(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_has_the_lines_of_the_offer(name: str) -> None:
    asked, given = sections(offer(name))[1:], sections(answer(Offer.parse(offer(name))))[1:]
    assert len(given) == len(asked)
    for ours, theirs in zip(given, asked, strict=True):
        assert ours[0].split()[0] == theirs[0].split()[0]
        assert ours[0].split()[2] == theirs[0].split()[2]
        assert [line for line in ours if line.startswith("a=mid:")] == [line for line in theirs if "a=mid:" in line]
        if "m=application" in ours[0]:
            assert (ours[0].split()[1], ours[-1]) in (("0", "a=inactive"), ("0", ""))


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_read_by_someone_else_as_it_is_meant(name: str) -> None:
    parsed = Offer.parse(offer(name))
    read = SessionDescription.parse(answer(parsed))
    (group,) = read.group
    assert (group.semantic, group.items) == ("BUNDLE", [each.mid for each in parsed.served])
    mirrored = {"sendonly": "recvonly", "recvonly": "sendonly", "sendrecv": "sendrecv"}
    streams = []
    for line, media in zip(parsed.lines, read.media, strict=True):
        if isinstance(line, RefusedLine):
            assert media.port == 0
            continue
        assert media.port == 9
        assert media.direction == mirrored[line.direction]
        assert media.ice is not None
        assert media.ice.iceLite
        assert media.rtcp_mux
        assert media.dtls is not None
        assert media.dtls.role == "server"  # passive
        assert [each.value for each in media.dtls.fingerprints] == [FINGERPRINT.hex(":").upper()]
        offered = [(each.protocol, each.tcpType, each.ip) for each in media.ice_candidates]
        best_first = [ADDRESSES[2], ADDRESSES[1], ADDRESSES[0]]
        assert offered == [*(("udp", None, ip) for ip in best_first), *(("tcp", "passive", ip) for ip in best_first)]
        assert {(each.port, each.component, each.type) for each in media.ice_candidates} == {(40000, 1, "host")}
        priorities = [each.priority for each in media.ice_candidates]
        assert priorities == sorted(set(priorities), reverse=True)
        assert media.ice_candidates_complete
        if isinstance(line, VideoLine):
            continue
        codec = media.rtp.codecs[0]
        assert (codec.mimeType, codec.clockRate, codec.channels) == ("audio/opus", 48000, 2)
        assert codec.payloadType == line.payload_type
        assert codec.parameters == {"minptime": 10, "useinbandfec": 1}
        assert {each.id for each in media.rtp.headerExtensions} == {line.level_extension, line.mid_extension} - {None}
        if line.receives:
            assert [each.cname for each in media.ssrc] == ["cname"]
            streams.append(media.msid)
    assert streams == [f"slot-{n} slot-{n}" for n in range(len(parsed.slots(8)))]


# Lines


def test_the_first_line_that_sends_is_the_microphone_and_the_second_the_sound_of_the_screen() -> None:
    parsed = Offer.parse(changed("a=recvonly", "a=sendonly", count=2))
    assert [each.mid for each in parsed.sounds] == ["0", "1"]
    directions = [each.direction for each in SessionDescription.parse(answer(parsed)).media]
    assert directions == ["recvonly", "recvonly", "inactive", *["sendonly"] * 6]


def test_a_line_that_does_both_is_microphone_and_first_slot() -> None:
    parsed = Offer.parse(changed("a=sendonly", "a=sendrecv"))
    assert parsed.microphone == parsed.slots(8)[0]
    directions = [each.direction for each in SessionDescription.parse(answer(parsed)).media]
    assert directions == ["sendrecv", *["sendonly"] * 7, "inactive"]


def test_a_third_line_that_does_both_is_only_a_slot() -> None:
    parsed = Offer.parse(changed("a=recvonly", "a=sendrecv", count=2))
    directions = [each.direction for each in SessionDescription.parse(answer(parsed)).media]
    assert directions[:4] == ["recvonly", "sendrecv", "sendonly", "sendonly"]


def test_without_a_direction_a_line_does_both() -> None:
    assert Offer.parse(changed("a=sendonly\r\n", "")).audio[0].direction == "sendrecv"


def test_the_direction_of_the_session_counts_where_a_line_has_none() -> None:
    parsed = Offer.parse(changed("t=0 0\r\n", "t=0 0\r\na=inactive\r\n", changed("a=sendonly\r\n", "")))
    assert [each.direction for each in parsed.audio] == ["inactive", *["recvonly"] * 8]
    assert parsed.microphone is None


def test_a_line_that_is_not_in_use_is_refused_but_a_bundle_only_one_is_not() -> None:
    stopped = re.sub(r"m=audio \d+", "m=audio 0", CHROMIUM)
    with pytest.raises(BadOffer, match="no m-line"):
        Offer.parse(stopped)
    assert len(Offer.parse(changed("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=bundle-only\r\n", stopped)).audio) == 9


def test_a_line_outside_of_the_bundle_is_refused() -> None:
    parsed = Offer.parse(changed("BUNDLE 0 1 2 3 4 5 6 7 8", "BUNDLE 0 1 3"))
    assert [each.mid for each in parsed.audio] == ["0", "1", "3"]
    assert sections(answer(parsed))[3][0] == "m=audio 0 UDP/TLS/RTP/SAVPF 111"


def test_only_the_first_bundle_is_taken() -> None:
    parsed = Offer.parse(changed("a=group:BUNDLE 0 1 2 3 4 5 6 7 8", "a=group:BUNDLE 0 1\r\na=group:BUNDLE 2 3"))
    assert parsed.bundle == ["0", "1"]


def test_a_line_without_opus_is_refused() -> None:
    parsed = Offer.parse(changed("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/48000", count=1))
    assert parsed.lines[0] == RefusedLine("0", "audio", "UDP/TLS/RTP/SAVPF", "111")
    assert parsed.bundle[0] == "1"


def test_the_profile_of_the_offer_is_kept() -> None:
    sdp = answer(Offer.parse(changed("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")))
    assert sdp.count("m=audio 9 RTP/SAVPF 111 63\r\n") == 9


@pytest.mark.parametrize(("setup", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_the_client_opens_dtls_unless_it_is_passive(setup: str, ours: str) -> None:
    assert f"a=setup:{ours}\r\n" in answer(Offer.parse(changed("a=setup:actpass", f"a=setup:{setup}")))


# The transport


def test_the_transport_may_be_described_for_the_session() -> None:
    transport = re.findall(r"a=(?:ice-ufrag|ice-pwd|setup|fingerprint):.*\r\n", CHROMIUM)[:4]
    bare = re.sub(r"a=(?:ice-ufrag|ice-pwd|setup|fingerprint):.*\r\n", "", CHROMIUM)
    parsed, original = Offer.parse(changed("t=0 0\r\n", "t=0 0\r\n" + "".join(transport), bare)), Offer.parse(CHROMIUM)
    assert replace(parsed, lines=[]) == replace(original, lines=[])


def test_the_transport_is_that_of_the_first_accepted_line_of_the_group() -> None:
    lines = sections(changed("BUNDLE 0 1", "BUNDLE 1 0"))
    lines[2] = [line.replace("a=ice-ufrag:oLDa", "a=ice-ufrag:other") for line in lines[2]]
    parsed = Offer.parse("\r\n".join(chain(*lines)))
    assert (parsed.ufrag, parsed.bundle[:2]) == ("other", ["1", "0"])


def test_a_line_that_is_bundle_only_may_leave_the_transport_to_another() -> None:
    lines = sections(offer("chromium-max-bundle-video"))
    lines[2:] = [[each for each in line if not re.match("a=(ice-|setup|fingerprint)", each)] for line in lines[2:]]
    parsed = Offer.parse("\r\n".join(chain(*lines)))
    assert (parsed.ufrag, parsed.audio[0].mid, parsed.bundle[0]) == ("yd++", "1", "0")


def test_sha_1_is_no_proof_and_longer_hashes_are() -> None:
    sha_1, sha_512 = "a=fingerprint:sha-1 " + bytes(20).hex(":"), "a=fingerprint:SHA-512 " + bytes(64).hex(":")
    parsed = Offer.parse(changed("a=setup:", f"{sha_1}\r\n{sha_512}\r\na=setup:", count=1))
    assert [(name, len(digest)) for name, digest in parsed.fingerprints] == [("sha-256", 32), ("sha-512", 64)]
    with pytest.raises(BadOffer, match="sha-256 or stronger"):
        Offer.parse(re.sub("a=fingerprint:sha-256 .*", sha_1, CHROMIUM))


def test_candidates_of_the_offer_are_not_even_read() -> None:
    nonsense = "a=candidate:\r\na=candidate:1 1 udp 1 attacker.example 99999999 typ host\r\na=sendonly"
    assert Offer.parse(changed("a=sendonly", nonsense)) == Offer.parse(CHROMIUM)


def test_lines_may_end_without_a_carriage_return() -> None:
    assert Offer.parse(CHROMIUM.replace("\r\n", "\n")) == Offer.parse(CHROMIUM)


@pytest.mark.parametrize("number", ["0", "15", "16", "255", "x", "-1", "\u0661"])
def test_a_header_extension_that_one_byte_cannot_carry_is_left_out(number: str) -> None:
    sdp = changed("a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc", f"a=extmap:{number} urn:ietf:params:rtp-hdrext:ssrc")
    parsed = Offer.parse(sdp)
    assert {each.level_extension for each in parsed.audio} == {None}
    assert "ssrc-audio-level" not in answer(parsed)


# Hostile ones

BAD = {
    "empty": ("v=0", ""),
    "another protocol": ("v=0", "GET / HTTP/1.1\r\n\r\n"),
    "another version": ("v=0", "v=1\r\n"),
    "no media": ("no m-line", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"),
    "too long": ("too long", CHROMIUM + "x" * MAX_LENGTH),
    "a long line": ("a line", changed("s=-", "s=" + "x" * MAX_LINE)),
    "many lines": ("too many lines", CHROMIUM + "a=x\r\n" * MAX_LINES),
    "many m-lines": ("too many m-lines", CHROMIUM + "m=audio 9 RTP/SAVPF 0\r\n" * MAX_MEDIA),
    "no type": ("type=value", changed("s=-", "-")),
    "a null": ("control", changed("s=-", "s=\0")),
    "a lone carriage return": ("control", changed("s=-", "s=-\ra=x")),
    "a short m-line": ("m-line", CHROMIUM + "m=audio 9\r\n"),
    "an m-line of spaces": ("m-line", CHROMIUM + "m=audio 9 RTP/SAVPF  \r\n"),
    "a port that is none": ("port", changed("m=audio 43956", "m=audio 65536")),
    "a port of letters": ("port", changed("m=audio 43956", "m=audio abc")),
    "one mid twice": ("same mid", changed("a=mid:1", "a=mid:0")),
    "a mid with a space": ("not a token", changed("a=mid:1", "a=mid:1 a=x")),
    "no bundle": ("BUNDLE", changed("a=group:BUNDLE", "a=group:LS")),
    "an empty group": ("BUNDLE", changed("a=group:BUNDLE 0 1 2 3 4 5 6 7 8", "a=group:")),
    "no rtcp-mux": ("rtcp-mux", changed("a=rtcp-mux\r\n", "", count=1)),
    "no user fragment": ("ice-ufrag", changed("a=ice-ufrag:", "a=x:")),
    "a short user fragment": ("ice-ufrag", changed("a=ice-ufrag:oLDa", "a=ice-ufrag:oLD")),
    "a user fragment with a colon": ("ice-ufrag", changed("a=ice-ufrag:oLDa", "a=ice-ufrag:oL:Da")),
    "a long user fragment": ("ice-ufrag", changed("a=ice-ufrag:oLDa", "a=ice-ufrag:" + "o" * 257)),
    "a short password": ("ice-pwd", changed("a=ice-pwd:FRnA", "a=ice-pwd:F")),
    "no fingerprint": ("fingerprint", changed("a=fingerprint:", "a=x:")),
    "a short fingerprint": ("fingerprint", changed("a=fingerprint:sha-256 2D:", "a=fingerprint:sha-256 ")),
    "a fingerprint of letters": ("hexadecimal", changed("a=fingerprint:sha-256 2D:", "a=fingerprint:sha-256 XY:")),
    "no setup": ("setup", changed("a=setup:", "a=x:")),
    "a held connection": ("setup", changed("a=setup:actpass", "a=setup:holdconn")),
    "an ICE lite client": ("lite", changed("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")),
    "a payload type of RTCP's": ("RTCP", changed("111", "72")),
    "a payload type too large": ("payload type", changed("111", "128")),
    "an SSRC too large": ("SSRC", changed("a=ssrc:1594745187", "a=ssrc:4294967296")),
    "an SSRC of 0": ("SSRC", changed("a=ssrc:1594745187", "a=ssrc:0")),
    "an SSRC without end": ("SSRC", changed("a=ssrc:1594745187", "a=ssrc:" + "9" * 900)),
    "one id for two extensions": ("same id", changed("a=extmap:4 ", "a=extmap:1 ")),
}


@pytest.mark.parametrize(("reason", "sdp"), BAD.values(), ids=BAD)
def test_a_bad_offer_is_refused_with_a_reason(reason: str, sdp: str) -> None:
    with pytest.raises(BadOffer, match=reason):
        Offer.parse(sdp)


def well_formed(sdp: str, offered: str) -> None:
    """Nothing of a hostile offer may become a line of its own in the answer."""
    assert sdp.endswith("\r\n")
    assert all(re.fullmatch(r"[vostcam]=[ -~]+", line) for line in sdp.split("\r\n")[:-1])
    assert sdp.count("\r\nm=") == len(re.findall(r"^m=", offered, re.MULTILINE))


@given(st.text())
def test_no_text_does_harm(text: str) -> None:
    with pytest.raises(BadOffer):
        Offer.parse(text)


@given(st.text(max_size=40), st.text(max_size=200))
def test_no_text_after_the_version_does_harm(name: str, text: str) -> None:
    for sdp in (f"v=0\r\n{text}", f"{CHROMIUM}a={name}:{text}", changed("a=mid:0", f"a=mid:{text}")):
        with suppress(BadOffer):
            well_formed(answer(Offer.parse(sdp)), sdp.replace("\r\n", "\n"))


@given(st.sampled_from(NAMES), st.data())
def test_a_real_offer_that_was_tampered_with_is_refused_or_answered_well(name: str, data: st.DataObject) -> None:
    lines = offer(name).split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["delete", "repeat", "move", "cut", "insert", "swap"])):
            case "delete":
                del lines[at]
            case "repeat":
                lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
            case "move":
                lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            case "insert":
                where = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:where] + data.draw(st.text(max_size=8)) + lines[at][where:]
            case "swap":
                lines[at] = re.sub(r"\d+", lambda _: str(data.draw(st.integers(-(2**40), 2**40))), lines[at], count=1)
        lines = lines or [""]
    sdp = "\r\n".join(lines)
    try:
        parsed = Offer.parse(sdp)
    except BadOffer:
        return
    well_formed(answer(parsed), sdp.replace("\r\n", "\n"))
    assert all(0 <= each.payload_type <= 127 for each in parsed.audio)
    assert len(set(parsed.bundle)) == len(parsed.served)
