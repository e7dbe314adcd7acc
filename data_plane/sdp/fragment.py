"""SDP fragments of trickle ICE (RFC 8840 §9), as WHIP and WHEP carry them (RFC 9725 §4.3). Hostile, like an offer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from data_plane.sdp.candidate import Candidate, candidate_lines
from data_plane.sdp.offer import PASSWORD, UFRAG
from data_plane.sdp.section import CONTROL, MAX_LINE, TOKEN

MAX_LENGTH = 16 * 1024  # characters; a hundred candidates
MAX_CANDIDATES = 128  # of one fragment: no client has as many interfaces

# RFC 8839 §5.1. A relayed or reflexive candidate has `raddr` and `rport`; extensions come in pairs.
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} [0-9]{1,5} (?P<transport>[!#-'*+\-.0-9A-Z^-~]{1,16}) [0-9]{1,10}"
    r" (?P<address>[0-9A-Za-z.:%-]{1,255}) (?P<port>[0-9]{1,5}) typ (?:host|srflx|prflx|relay)(?: [^ ]+ [^ ]+)*"
)


class BadFragment(Exception):
    """It is not a fragment; the text says why."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """`candidates`: how many; what they say is not needed, for we are ICE lite and never begin."""

    ufrag: str
    password: str
    mids: Sequence[str] = ()
    candidates: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadFragment`."""
        if len(text) > MAX_LENGTH:
            raise BadFragment("the fragment is too long")
        text = text.replace("\r\n", "\n")
        if CONTROL.search(text):
            raise BadFragment("the fragment has control characters")
        credentials: dict[str, str] = {}
        mids: list[str] = []
        candidates, within_media = 0, False
        for line in text.split("\n"):
            if not line:
                continue
            if len(line) > MAX_LINE or line[1:2] != "=" or line[0] not in "am":
                raise BadFragment("a line is too long, or is neither an attribute nor an m-line")
            if line[0] == "m":
                _check_media(line[2:])
                within_media = True
                continue
            name, _, value = line[2:].strip().partition(":")
            match name:
                case "ice-ufrag" | "ice-pwd":
                    if credentials.setdefault(name, value) != value:
                        raise BadFragment("there are two transports in it")
                case "mid":
                    if not within_media or not TOKEN.fullmatch(value) or value in mids:
                        raise BadFragment("a mid is not a token, is there twice, or is outside of an m-line")
                    mids.append(value)
                case "candidate":
                    if not within_media:
                        raise BadFragment("a candidate is outside of an m-line")
                    _check_candidate(value)
                    candidates += 1
        if candidates > MAX_CANDIDATES:
            raise BadFragment("there are too many candidates")
        ufrag, password = credentials.get("ice-ufrag", ""), credentials.get("ice-pwd", "")
        if not UFRAG.fullmatch(ufrag) or not PASSWORD.fullmatch(password):
            raise BadFragment("ice-ufrag or ice-pwd is missing or wrong (RFC 8839 §5.4)")
        return cls(ufrag, password, tuple(mids), candidates)


def _check_media(value: str) -> None:
    parts = value.split(" ")
    if len(parts) < 4 or not all(TOKEN.fullmatch(each) for each in (parts[0], *parts[2].split("/"), *parts[3:])):
        raise BadFragment("an m-line is not media, port, protocol and formats")
    if not re.fullmatch("[0-9]{1,5}", parts[1]) or int(parts[1]) > 65535:
        raise BadFragment("a port is not a number from 0 to 65535")


def _check_candidate(value: str) -> None:
    found = _CANDIDATE.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise BadFragment("a candidate is not one of RFC 8839 §5.1")
    if ":" in found["address"]:
        try:
            ip_address(found["address"])
        except ValueError:
            raise BadFragment("a candidate has an address that is none") from None


def describe_restart(
    *, medium: str, mid: str, protocol: str, ufrag: str, password: str, candidates: Sequence[Candidate]
) -> str:
    """Our side of an ICE restart: `medium` ("audio" or "video"), `mid` and `protocol` are those of the bundle's tagged
    m-line, as in the answer."""
    lines = (
        "a=ice-lite",
        f"m={medium} 9 {protocol} 0",  # a pseudo m-line: its format says nothing (RFC 8840 §9)
        f"a=mid:{mid}",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        *candidate_lines(candidates),
        "a=end-of-candidates",
        "",
    )
    return "\r\n".join(lines)
