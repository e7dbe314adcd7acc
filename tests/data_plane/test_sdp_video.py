"""Video m-lines: what is understood of real clients' and of hostile ones, and what is answered."""

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from data_plane.sdp import BadOffer, Offer, RefusedLine, VideoFormat, VideoLine, describe
from data_plane.sdp.video import EXTENSIONS, FEEDBACK
from proto.signalling import VIDEO_SLOTS
from tests.data_plane.sdp_support import CANDIDATES, answer, local, sections
from tests.data_plane.support import offer

CHROMIUM = offer("chromium-simulcast")
VIDEO = ["chromium-simulcast", "chromium-simulcast-first", "firefox-simulcast", "aiortc-video"]
SIMULCAST = ["a=simulcast:send q;h;f", "a=rid:q send", "a=rid:h send", "a=rid:f send"]
ALL_FEEDBACK = ("nack", "nack pli", "ccm fir", "transport-cc", "goog-remb")
RID = f"a=extmap:10 {EXTENSIONS['rid']}"


def camera(sdp: str) -> VideoLine:
    return Offer.parse(sdp).pictures[0]


def one_line(*lines: str, formats: str = "96 97", direction: str = "sendonly") -> str:
    """An offer of one video line; VP8 with RTX unless `formats` says otherwise."""
    given = (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        f"m=video 9 UDP/TLS/RTP/SAVPF {formats}",
        "a=mid:0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:" + "p" * 24,
        "a=fingerprint:sha-256 " + bytes(32).hex(":"),
        "a=setup:actpass",
        "a=rtcp-mux",
        f"a={direction}",
        *lines,
        "",
    )
    return "\r\n".join(given)


def vp8(*lines: str) -> str:
    return one_line("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", *lines)


def codec(encoding: str, parameters: str = "") -> VideoFormat | None:
    """What is taken of an offer of that codec alone."""
    fmtp = [f"a=fmtp:96 {parameters}"] if parameters else []
    try:
        (found,) = camera(one_line(f"a=rtpmap:96 {encoding}/90000", *fmtp, formats="96")).formats
    except BadOffer:
        return None
    return found


# What is understood


def test_the_cameras_of_real_clients_are_understood() -> None:
    chromium, firefox, aiortc = (camera(offer(name)) for name in (VIDEO[0], VIDEO[2], VIDEO[3]))
    assert chromium.codecs == ("vp8", "h264", "av1", "vp9")
    assert chromium.formats[0] == VideoFormat("vp8", 96, 97, "", ALL_FEEDBACK)
    assert chromium.formats[1].payload_type == 108  # constrained baseline, and not the baseline before it
    assert chromium.formats[3].parameters == "profile-id=0"
    assert (chromium.rids, chromium.ssrcs, chromium.encodings) == (("q", "h", "f"), (), 3)
    assert (firefox.codecs, firefox.rids, firefox.ssrcs) == (("vp8", "vp9", "av1"), ("q", "h", "f"), ())
    assert (aiortc.codecs, aiortc.rids, aiortc.encodings) == (("vp8", "h264"), (), 1)
    assert [rtx is None for _, rtx in aiortc.ssrcs] == [False]


def test_the_lines_that_send_are_camera_and_screen_and_those_that_receive_are_slots() -> None:
    parsed = Offer.parse(CHROMIUM)
    assert [each.mid for each in parsed.sounds] == ["0", "1"]
    assert [each.mid for each in parsed.pictures] == ["2", "3"]
    assert parsed.pictures[1].rids == ("l", "f")  # a paused encoding is one
    assert [each.mid for each in parsed.video_slots(VIDEO_SLOTS)] == [str(each) for each in range(12, 21)]
    assert len(parsed.slots(8)) == 8


def test_a_transport_has_one_mapping_of_extensions() -> None:
    assert Offer.parse(CHROMIUM).extensions == {
        "mid": 4,
        "rid": 10,
        "repaired_rid": 11,
        "transport_cc": 3,
        "abs_send_time": 2,
        "playout_delay": 5,
        "video_layers_allocation": 9,
        "dependency_descriptor": 12,
        "video_orientation": 13,
    }


def test_a_line_that_maps_an_extension_otherwise_than_those_before_does_without() -> None:
    first, *lines = sections(CHROMIUM)
    lines[3] = [each.replace("a=extmap:10 ", "a=extmap:9 ").replace("a=extmap:2 ", "a=extmap:1 ") for each in lines[3]]
    lines[3] = [each for each in lines[3] if EXTENSIONS["video_layers_allocation"] not in each]
    parsed = Offer.parse("\r\n".join(each for line in (first, *lines) for each in line))
    assert parsed.extensions == Offer.parse(CHROMIUM).extensions
    screen = parsed.pictures[1]
    assert not {"rid", "abs_send_time"} & screen.extensions.keys()
    assert screen.rids == ()  # nothing would tell them apart


@pytest.mark.parametrize(
    ("encoding", "parameters", "taken"),
    [
        ("VP8", "", ""),
        ("vp8", "max-fs=12288;max-fr=60", ""),
        ("VP9", "", "profile-id=0"),
        ("VP9", "profile-id=2", None),
        ("AV1", "", "level-idx=5;profile=0;tier=0"),
        ("AV1", "level-idx=8; PROFILE=0", "level-idx=8;profile=0;tier=0"),
        ("AV1", "level-idx=8\tx;profile=0", "level-idx=5;profile=0;tier=0"),
        ("AV1", "profile=1", None),
        ("H264", "packetization-mode=1", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42000a"),
        (
            "H264",
            "profile-level-id=42E01F;packetization-mode=1;sprop-parameter-sets=Z0L,aM4",
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        ),
        ("H264", "profile-level-id=42e01f;packetization-mode=0", None),
        ("H264", "profile-level-id=42e01f", None),
        ("H264", "profile-level-id=64001f;packetization-mode=1", None),
        ("H264", "profile-level-id=42e01f0;packetization-mode=1", None),
        ("H265", "", None),
    ],
)
def test_of_each_codec_that_is_taken_which_all_decode(encoding: str, parameters: str, taken: str | None) -> None:
    found = codec(encoding, parameters)
    assert (None if found is None else found.parameters) == taken


def test_rtx_belongs_to_the_payload_type_that_it_names() -> None:
    both = one_line("a=rtpmap:96 VP8/90000", "a=rtpmap:98 VP9/90000", *RTX_OF_VP9, formats="98 96 97")
    assert [(each.codec, each.rtx_payload_type) for each in camera(both).formats] == [("vp9", 97), ("vp8", None)]


RTX_OF_VP9 = ["a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=98"]


def test_feedback_for_every_payload_type_is_feedback_for_each() -> None:
    (found,) = camera(vp8("a=rtcp-fb:* nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 nack sli")).formats
    assert found.feedback == ("nack", "nack pli")


def test_transport_wide_feedback_needs_its_extension() -> None:
    wanted = "a=rtcp-fb:96 transport-cc"
    assert camera(vp8(wanted)).formats[0].feedback == ()
    extension = f"a=extmap:3 {EXTENSIONS['transport_cc']}"
    assert camera(vp8(wanted, extension)).formats[0].feedback == ("transport-cc",)


@pytest.mark.parametrize(
    ("simulcast", "rids"),
    [
        ("send q;h;f", ("q", "h", "f")),
        ("recv x send q;h", ("q", "h")),
        ("send ~q;h,f", ("q", "h")),
        ("send q;q;h", ("q", "h")),
        ("send q;unknown;h", ("q", "h")),
        ("send q;h;f;g", ("q", "h", "f")),
        ("recv q;h", ()),
        ("send", ()),
        ("", ()),
        ("send ;;;", ()),
        ("send \N{LATIN SMALL LETTER E WITH ACUTE};q", ("q",)),
    ],
)
def test_encodings_are_named_by_rid(simulcast: str, rids: tuple[str, ...]) -> None:
    declared = [f"a=rid:{each} send" for each in ("q", "h", "f", "g", "\N{LATIN SMALL LETTER E WITH ACUTE}")]
    found = camera(vp8(RID, f"a=simulcast:{simulcast}", *declared, "a=rid:x recv"))
    assert found.rids == rids


def test_a_rid_that_nobody_declares_to_send_is_none() -> None:
    assert camera(vp8(RID, "a=simulcast:send q;h", "a=rid:q recv", "a=rid:h send pt=96")).rids == ("h",)


def test_without_the_extension_there_is_one_encoding() -> None:
    assert camera(vp8(*SIMULCAST)).rids == ()
    assert camera(vp8(*SIMULCAST, RID.replace("10", "16"))).rids == ()  # not in one byte


@pytest.mark.parametrize(
    ("lines", "ssrcs"),
    [
        ([], ()),
        (["a=ssrc:1 cname:x"], ((1, None),)),
        (["a=ssrc-group:FID 1 2", "a=ssrc:1 cname:x", "a=ssrc:2 cname:x"], ((1, 2),)),
        (["a=ssrc-group:FID 1 2 3", "a=ssrc:1 cname:x"], ((1, None),)),
        (["a=ssrc-group:", "a=ssrc-group", "a=ssrc:1"], ((1, None),)),
        (
            ["a=ssrc-group:SIM 1 2 3", "a=ssrc-group:FID 1 4", "a=ssrc-group:FID 3 5", RID, *SIMULCAST],
            ((1, 4), (2, None), (3, 5)),
        ),
        (["a=ssrc-group:SIM 1 2", RID, *SIMULCAST], ()),
        (["a=ssrc:1 cname:x", RID, *SIMULCAST], ()),
    ],
)
def test_ssrcs_are_taken_where_it_is_clear_whose_they_are(
    lines: list[str], ssrcs: tuple[tuple[int, int | None], ...]
) -> None:
    assert camera(vp8(*lines)).ssrcs == ssrcs


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("SSRC", "a=ssrc:0 cname:x"),
        ("SSRC", "a=ssrc:4294967296 cname:x"),
        ("SSRC", "a=ssrc-group:FID 1 " + "9" * 900),
        ("same SSRC", "a=ssrc:7 cname:x\r\na=ssrc-group:FID 7 7"),
        ("same SSRC", "\r\n".join(["a=ssrc-group:SIM 7 8 7", RID, *SIMULCAST])),
        ("same id", f"a=extmap:4 {EXTENSIONS['rid']}\r\na=extmap:4 {EXTENSIONS['repaired_rid']}"),
        ("RTCP", "a=rtpmap:96 VP8/90000\r\nm=video 9 UDP/TLS/RTP/SAVPF 72\r\na=mid:1\r\na=rtpmap:72 VP8/90000"),
    ],
)
def test_a_bad_video_line_is_refused_with_a_reason(reason: str, line: str) -> None:
    with pytest.raises(BadOffer, match=reason):
        Offer.parse(vp8(line).replace("BUNDLE 0", "BUNDLE 0 1"))


def test_a_line_without_a_codec_of_ours_is_refused_and_the_rest_goes_on() -> None:
    parsed = Offer.parse(offer("aiortc-video").replace("VP8/90000", "VP7/90000").replace("mode=1", "mode=0"))
    assert [type(each) is RefusedLine for each in parsed.lines] == [False, True, False, True]


# What is answered


@pytest.mark.parametrize("name", VIDEO)
def test_the_answer_to_video_is_read_by_someone_else_as_it_is_meant(name: str) -> None:
    parsed = Offer.parse(offer(name))
    read = SessionDescription.parse(answer(parsed))
    video = [(line, media) for line, media in zip(parsed.lines, read.media, strict=True) if media.kind == "video"]
    for line, media in video:
        assert isinstance(line, VideoLine)
        assert media.direction == ("recvonly" if line.sends else "sendonly")
        codecs = {each.payloadType: each for each in media.rtp.codecs}
        for each in line.formats:
            assert codecs[each.payload_type].mimeType.lower() == f"video/{each.codec}"
            feedback = {
                " ".join(filter(None, (it.type, it.parameter))) for it in codecs[each.payload_type].rtcpFeedback
            }
            assert feedback == set(each.feedback)
            assert each.rtx_payload_type is not None
            assert codecs[each.rtx_payload_type].parameters == {"apt": each.payload_type}
        assert [each.ssrc for each in media.ssrc] == ([] if line.sends else list(local(parsed).video_ssrcs[line.mid]))
    streams = [media.msid for line, media in video if isinstance(line, VideoLine) and line.receives]
    assert streams == [f"video-{n} video-{n}" for n in range(len(streams))]


def test_a_slot_is_one_stream_with_its_repair() -> None:
    slot = sections(answer(Offer.parse(CHROMIUM)))[13]
    assert slot[0] == "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 45 46"
    assert "a=ssrc-group:FID 2000 3000" in slot
    assert {"a=ssrc:2000 cname:cname", "a=ssrc:3000 cname:cname"} < set(slot)


def test_a_slot_without_rtx_is_one_stream_alone() -> None:
    given = answer(Offer.parse(one_line("a=rtpmap:96 VP8/90000", formats="96", direction="recvonly")))
    assert "FID" not in given
    assert "a=ssrc:2000 cname:cname\r\na=sendonly\r\n" in given


def test_simulcast_is_answered_in_the_order_of_the_offer() -> None:
    camera_line, screen_line = sections(answer(Offer.parse(CHROMIUM)))[3:5]
    assert [each for each in camera_line if "rid:" in each or "simulcast" in each] == [
        "a=rid:q recv",
        "a=rid:h recv",
        "a=rid:f recv",
        "a=simulcast:recv q;h;f",
    ]
    assert "a=simulcast:recv l;f" in screen_line


def test_what_names_a_publishers_streams_is_agreed_on_where_it_publishes() -> None:
    given = sections(answer(Offer.parse(CHROMIUM)))
    for names, line in ((True, given[3]), (False, given[13])):
        for each in ("rid", "repaired_rid"):
            assert any(EXTENSIONS[each] in attribute for attribute in line) == names
        assert any(EXTENSIONS["transport_cc"] in attribute for attribute in line)


def test_transport_wide_feedback_is_agreed_on_for_video_alone() -> None:
    given = sections(answer(Offer.parse(CHROMIUM)))
    assert not any("transport" in each for each in given[1])
    assert all(f"a=rtcp-fb:{each} transport-cc" in given[3] for each in (96, 108, 45, 98))


def test_an_extension_of_one_direction_is_answered_with_the_other() -> None:
    given = answer(Offer.parse(offer("firefox-simulcast")))
    assert f"a=extmap:9/recvonly {EXTENSIONS['rid']}\r\n" in given
    assert f"a=extmap:6/sendonly {EXTENSIONS['playout_delay']}\r\n" in given


def test_the_codec_that_suits_best_is_first_where_the_client_sends() -> None:
    parsed = Offer.parse(CHROMIUM)
    chosen = replace(local(parsed), codecs=("av1", "vp9", "vp8", "h264"))
    given = sections(describe(parsed, chosen, CANDIDATES))
    assert given[3][0] == "m=video 9 UDP/TLS/RTP/SAVPF 45 46 98 99 96 97 108 109"
    assert given[13][0] == "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 45 46"


def test_a_client_that_may_send_no_video_is_answered_as_if_it_did_not_offer_to() -> None:
    given = sections(answer(Offer.parse(CHROMIUM).without_video()))[1:]
    assert [line[-1] if line[-1] else line[-2] for line in given] == [
        "a=recvonly",
        *["a=inactive"] * 3,
        *["a=sendonly"] * 17,
    ]
    assert all(line[0].split()[1] == "9" for line in given)


def test_a_first_line_of_video_is_never_refused_when_it_could_be_served() -> None:
    """Chromium could not set up its transport with `max-bundle`."""
    whole = Offer.parse(offer("chromium-simulcast-first"))
    for parsed in (whole, whole.without_video(), whole.one_way("recvonly")):
        assert answer(parsed).split("\r\nm=")[1].startswith("video 9 ")
        assert parsed.bundle[0] == "0"


def test_video_alone_is_an_offer() -> None:
    parsed = Offer.parse(vp8())
    assert (parsed.sounds, parsed.microphone, parsed.bundle) == ([], None, ["0"])
    assert "a=recvonly\r\n" in answer(parsed)


def test_more_lines_than_there_are_slots_stay_inactive() -> None:
    parsed = Offer.parse(CHROMIUM)
    given = sections(describe(parsed, local(parsed, video_slots=4), CANDIDATES))[13:]
    assert [("a=sendonly" in each, "a=inactive" in each) for each in given] == [(True, False)] * 4 + [(False, True)] * 5


# Hostile ones


LINES = st.sampled_from(
    [
        *("rtpmap:", "fmtp:", "rtcp-fb:", "extmap:", "rid:", "simulcast:", "ssrc:", "ssrc-group:", "mid:", "msid:"),
        *(
            "rtpmap:96 H264/90000",
            "fmtp:96 apt=",
            "fmtp:96 profile-level-id=",
            "rtcp-fb:* ",
            "ssrc-group:FID ",
            "rid:q ",
        ),
        *("extmap:10 " + uri for uri in EXTENSIONS.values()),
        *(each[2:] for each in SIMULCAST),
    ]
)


@given(st.lists(st.tuples(LINES, st.text(max_size=30)), max_size=12))
def test_no_attribute_of_a_video_line_does_harm(attributes: list[tuple[str, str]]) -> None:
    sdp = vp8(*(f"a={name}{text}" for name, text in attributes))
    with suppress(BadOffer):
        parsed = Offer.parse(sdp)
        given = answer(parsed)
        assert all(re.fullmatch(r"[vostcam]=[ -~]+", line) for line in given.split("\r\n")[:-1])
        assert given.count("\r\nm=") == sdp.replace("\r\n", "\n").count("\nm=")
        for line in parsed.video:
            assert len(line.rids) <= 3
            assert len(line.ssrcs) <= max(1, len(line.rids))
            assert len(set(line.codecs)) == len(line.codecs)
            assert all(set(each.feedback) <= set(FEEDBACK) for each in line.formats)
            assert all(1 <= each <= 14 for each in line.extensions.values())


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_parameters_of_a_codec_become_a_line_of_the_answer(name: str, value: str) -> None:
    for encoding in ("H264", "AV1", "VP9"):
        if (found := codec(encoding, f"packetization-mode=1;{name}={value}")) is not None:
            assert re.fullmatch(r"[a-z0-9=;-]*", found.parameters)


@pytest.mark.parametrize(("name", "mixed"), [("chromium-simulcast", True), ("aiortc-video", False)])
def test_both_forms_of_header_extensions_are_agreed_on_where_they_are_offered(name: str, mixed: bool) -> None:
    """Without, Chromium sends neither dependency descriptors nor layer allocations, which may be long."""
    parsed = Offer.parse(offer(name))
    (session, *_) = sections(describe(parsed, local(parsed), CANDIDATES))
    assert ("a=extmap-allow-mixed" in session) is mixed
