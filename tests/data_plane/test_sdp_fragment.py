"""SDP fragments of trickle ICE: as clients write them, and as nobody should."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.sdp import BadFragment, Candidate, Fragment, describe_restart
from data_plane.sdp.fragment import MAX_CANDIDATES, MAX_LENGTH

# As browsers write them: the RFCs' examples with the extensions that Chromium adds.
TRICKLED = "\r\n".join(
    (
        "a=ice-options:trickle",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1",
        "a=candidate:1467250027 1 udp 2122194687 2001:db8::5 46154 typ host generation 0 network-cost 50",
        "a=candidate:2 1 UDP 1694498815 203.0.113.9 5000 typ srflx raddr 192.0.2.1 rport 61764",
        "a=candidate:3 1 tcp 1518280447 6b1ff0a2-f0f2-4b1f-a9a4-7a7c0d1c7b5e.local 9 typ host tcptype active",
        "a=end-of-candidates",
        "",
    )
)
CANDIDATE = "a=candidate:2 1 UDP 1694498815 203.0.113.9 5000 typ srflx raddr 192.0.2.1 rport 61764"

SHORT = "a=candidate:1 1 udp 1 ::1 1 typ host"


def changed(old: str, new: str) -> str:
    assert old in TRICKLED
    return TRICKLED.replace(old, new)


def test_a_fragment_is_understood() -> None:
    assert Fragment.parse(TRICKLED) == Fragment("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", ("0",), 4)


def test_lines_may_end_without_a_carriage_return_and_the_last_without_any() -> None:
    assert Fragment.parse(TRICKLED.replace("\r\n", "\n").rstrip("\n")) == Fragment.parse(TRICKLED)


def test_credentials_may_stand_before_the_lines_or_be_repeated() -> None:
    credentials = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    for text in (credentials + TRICKLED, credentials, credentials + TRICKLED.replace(credentials, "")):
        assert Fragment.parse(text).ufrag == "EsAw"


BAD = {
    "nothing": ("ice-ufrag", ""),
    "no user fragment": ("ice-ufrag", changed("a=ice-ufrag:", "a=x:")),
    "no password": ("ice-pwd", changed("a=ice-pwd:", "a=x:")),
    "a short password": ("ice-pwd", changed("P2uYro0UCOQ4zxjKXaWCBui1", "short")),
    "two user fragments": ("two transports", changed("a=mid:0", "a=mid:0\r\na=ice-ufrag:other")),
    "an offer": ("neither an attribute", "v=0\r\n" + TRICKLED),
    "prose": ("neither an attribute", "Hello."),
    "a control character": ("control", changed("a=mid:0", "a=mid:\0")),
    "too long": ("too long", TRICKLED + "a=x\r\n" * (MAX_LENGTH // 5)),
    "a long line": ("too long", TRICKLED + "a=" + "x" * 1100),
    "many candidates": ("too many", changed(CANDIDATE, "\r\n".join([SHORT] * MAX_CANDIDATES))),
    "a short m-line": ("m-line", changed(" UDP/TLS/RTP/SAVPF 111", "")),
    "an m-line with a port of letters": ("port", changed("audio 9", "audio x")),
    "an m-line with a port too large": ("port", changed("audio 9", "audio 65536")),
    "a mid with a space": ("mid", changed("a=mid:0", "a=mid:0 1")),
    "a mid twice": ("mid", changed("a=mid:0", "a=mid:0\r\na=mid:0")),
    "a mid outside": ("mid", "a=mid:0\r\n" + TRICKLED),
    "a candidate outside": ("outside", CANDIDATE + "\r\n" + TRICKLED),
    "an empty candidate": ("candidate", changed(CANDIDATE, "a=candidate:")),
    "a candidate of another type": ("candidate", changed("typ srflx", "typ magic")),
    "a candidate without a type": ("candidate", changed("typ srflx raddr", "raddr")),
    "a candidate with a port too large": ("candidate", changed("203.0.113.9 5000", "203.0.113.9 65536")),
    "a candidate with an address that is none": ("address", changed("2001:db8::5", "2001:db8::5::")),
    "a candidate with half an extension": ("candidate", changed("rport 61764", "rport")),
}


@pytest.mark.parametrize(("reason", "text"), BAD.values(), ids=BAD)
def test_a_bad_fragment_is_refused_with_a_reason(reason: str, text: str) -> None:
    with pytest.raises(BadFragment, match=reason):
        Fragment.parse(text)


@given(st.text())
def test_no_text_does_harm(text: str) -> None:
    with suppress(BadFragment):
        Fragment.parse(text)


@given(st.text(max_size=12), st.text(max_size=300))
def test_no_attribute_does_harm(name: str, value: str) -> None:
    for text in (f"{TRICKLED}a={name}:{value}", f"{TRICKLED}a=candidate:{value}", f"m={value}\r\n{TRICKLED}"):
        with suppress(BadFragment):
            parsed = Fragment.parse(text)
            assert (parsed.ufrag, parsed.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")


@given(st.data())
def test_a_fragment_that_was_tampered_with_is_refused_or_understood(data: st.DataObject) -> None:
    lines = TRICKLED.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["delete", "repeat", "move", "cut", "insert"])):
            case "delete" if len(lines) > 1:
                del lines[at]
            case "repeat":
                lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
            case "move":
                lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            case _:
                where = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:where] + data.draw(st.text(max_size=8)) + lines[at][where:]
    with suppress(BadFragment):
        parsed = Fragment.parse("\r\n".join(lines))
        assert re.fullmatch("[A-Za-z0-9+/]{4,256}", parsed.ufrag)
        assert re.fullmatch("[A-Za-z0-9+/]{22,256}", parsed.password)


@given(st.text(), st.integers(1, 50))
def test_a_long_line_takes_no_longer(text: str, times: int) -> None:
    """The pattern of a candidate never tries the same thing twice: its parts do not overlap."""
    with suppress(BadFragment):
        Fragment.parse(changed(CANDIDATE, SHORT + " a" * 10 * times + text))


@pytest.mark.parametrize("medium", ["audio", "video"])
def test_our_side_of_a_restart_is_a_fragment_too(medium: str) -> None:
    candidates = [Candidate("192.0.2.2", 40000), Candidate("192.0.2.2", 40000, tcp=True)]
    text = describe_restart(
        medium=medium,
        mid="0",
        protocol="UDP/TLS/RTP/SAVPF",
        ufrag="our1",
        password="p" * 32,
        candidates=candidates,
    )
    assert f"m={medium} 9 " in text
    assert Fragment.parse(text) == Fragment("our1", "p" * 32, ("0",), 2)
    assert text.startswith("a=ice-lite\r\n")
