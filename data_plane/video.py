"""Who shows what to whom: what a transport can, which codec suits a room, what is shown to those who do not choose."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from data_plane.sdp import CODECS, Codec
from proto.rest import Shared
from proto.signalling import VIDEO_SLOTS, Wish

SHARED: tuple[Shared, ...] = ("camera", "screen", "screen_audio")
# Of VP8 there is a decoder everywhere, and no other is as light to encode three times.
PREFERENCE: tuple[Codec, ...] = ("vp8", "h264", "vp9", "av1")
FOLLOWED_WIDTH = 1280  # pixels, for a client that does not say how large it draws
FOREMOST, OTHERS = 1, 0  # priorities: who speaks is seen best

Decoders = Counter[frozenset[Codec]]  # how many receivers there are of each set of codecs


@dataclass(frozen=True, slots=True)
class Track:
    """A camera or a screen as a transport may send it."""

    codecs: tuple[Codec, ...]
    encodings: int = 1


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a transport can do beside hearing and being heard."""

    slots: int = 0  # of video
    decodes: frozenset[Codec] = frozenset()  # in each of them
    tracks: Mapping[Shared, Track] = field(default_factory=dict)  # of camera and screen
    screen_audio: bool = False

    def can_share(self, source: Shared) -> bool:
        return self.screen_audio if source == "screen_audio" else source in self.tracks


def by_preference(preference: Iterable[Codec], decoders: Decoders) -> list[Codec]:
    """The codec that most can decode first; of those that equally many can, the preferred one."""
    return sorted(preference, key=lambda codec: -sum(count for able, count in decoders.items() if codec in able))


def best_codec(track: Track, preference: Sequence[Codec], decoders: Decoders) -> Codec:
    """What `track` should be sent with: the first of the preference that all can decode, else what most can."""
    able = by_preference((*preference, *CODECS), decoders)
    return next(each for each in able if each in track.codecs)


@dataclass(frozen=True, slots=True)
class Live:
    """What there is to see in a room, by CSRC; those who came first first."""

    screens: Sequence[int] = ()
    cameras: Sequence[int] = ()
    all: frozenset[int] = frozenset()


def follow(shown: Sequence[int | None], live: Live, dominant: int | None, own: Collection[int]) -> list[int | None]:
    """What is to be in the slots of a client that does not choose, where `shown` is in them now: who speaks, screens,
    then other cameras. What stays does not change its slot."""
    enough = VIDEO_SLOTS + 2  # its own are not shown to it
    candidates = (dominant, *live.screens[:enough], *shown, *live.cameras[:enough])
    wanted = dict.fromkeys(each for each in candidates if each in live.all and each not in own)
    chosen = list(wanted)[: len(shown)]
    fresh = (each for each in chosen if each not in shown)
    return [each if each in chosen else next(fresh, None) for each in shown]


def wishes_for(shown: Sequence[int | None], dominant: int | None) -> tuple[Wish, ...]:
    return tuple(
        Wish(slot, csrc, FOLLOWED_WIDTH, FOREMOST if csrc == dominant else OTHERS)
        for slot, csrc in enumerate(shown)
        if csrc is not None
    )
