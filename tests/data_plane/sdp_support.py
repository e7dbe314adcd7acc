"""What the tests of offers and answers share: an answer to any offer, and SDP taken apart."""

from data_plane.sdp import Candidate, Local, Offer, describe

FINGERPRINT = bytes(range(32))
ADDRESSES = ["127.0.0.1", "192.0.2.2", "2001:db8::2"]
CANDIDATES = [Candidate(each, 40000, tcp) for tcp in (True, False) for each in ADDRESSES]


def local(parsed: Offer, slots: int = 8, video_slots: int = 9) -> Local:
    """SSRCs of the audio slots are 1000 and up, of the video slots 2000 and up, of their RTX 3000 and up."""
    return Local(
        ufrag="ufrag",
        password="password" * 4,
        fingerprint=FINGERPRINT,
        cname="cname",
        source_mids=[*(each.mid for each in parsed.sounds), *(each.mid for each in parsed.pictures)],
        slot_ssrcs={line.mid: 1000 + n for n, line in enumerate(parsed.slots(slots))},
        session=1,
        video_ssrcs={line.mid: (2000 + n, 3000 + n) for n, line in enumerate(parsed.video_slots(video_slots))},
    )


def answer(parsed: Offer, slots: int = 8) -> str:
    return describe(parsed, local(parsed, slots), CANDIDATES)


def sections(sdp: str) -> list[list[str]]:
    """The session's lines, then each m-line's."""
    found: list[list[str]] = [[]]
    for line in sdp.split("\r\n"):
        if line.startswith("m="):
            found.append([])
        found[-1].append(line)
    return found
