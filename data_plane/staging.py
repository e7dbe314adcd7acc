"""What follows in a room from who shares what: what publishers are asked to send, and what is shown to those who do not
choose. A core; `Directory.tick` calls it for rooms in which something of that has changed."""

from collections.abc import Iterator, Sequence

from data_plane.effects import Effect, Tell
from data_plane.sdp import Codec
from data_plane.stays import Peer, Room, Stay
from data_plane.video import Decoders, Live, Track, best_codec, follow, wishes_for
from proto.rest import Shared
from proto.signalling import Produce


def stage(room: Room, preference: Sequence[Codec]) -> Iterator[Effect]:
    if room.uncast:
        room.uncast = False
        publishers = [each for each in room.stays.values() if each.asked]
        every = decoders(room) if publishers else Decoders()
        for stay in publishers:
            yield from _produce(stay, every, preference)
    unseen, room.unseen = room.unseen, False
    unguided, room.unguided = room.unguided, {}
    viewers = room.stays.values() if unseen else unguided.values()
    if viewers:
        seen = live(room)
        for stay in viewers:
            if stay.room is room:
                yield from _guide(stay, seen, room.dominant)


def decoders(room: Room, *, but: Stay | None = None) -> Decoders:
    """What those who are there can decode. Who has no slot for video is nobody's concern."""
    receivers = (each for each in room.stays.values() if each.announced and each is not but)
    return Decoders(each.heard_by.video.decodes for each in receivers if each.heard_by.video.slots)


def live(room: Room) -> Live:
    there = [each for each in room.stays.values() if each.announced and each.asked]
    screens = [each.screen_csrc for each in there if "screen" in each.sources]
    cameras = [each.csrc for each in there if "camera" in each.sources]
    return Live(screens, cameras, frozenset((*screens, *cameras)))


def _produce(stay: Stay, every: Decoders, preference: Sequence[Codec]) -> Iterator[Effect]:
    peer = stay.heard_by
    shared = [(each, peer.video.tracks[each]) for each in stay.sources if each in peer.video.tracks]
    if not shared or not stay.attached:
        return
    others = every - Decoders([peer.video.decodes] if stay.announced and peer.video.slots else [])
    for source, track in shared:
        frame = _frame(source, track, best_codec(track, preference, others), peer.wanted.get(stay.csrc_of(source)))
        if peer.produced.get(source) != frame:
            peer.produced[source] = frame
            yield Tell((stay.session_id,), frame)


def _frame(source: Shared, track: Track, codec: Codec, wanted: int | None) -> Produce:
    """`wanted`: as bits; None: the engine has not said yet, and for a moment all are."""
    assert source != "screen_audio"  # noqa: S101 - it has no track
    return Produce(source, codec, [wanted is None or bool(wanted >> each & 1) for each in range(track.encodings)])


def _guide(stay: Stay, seen: Live, dominant: int | None) -> Iterator[Effect]:
    peer = stay.heard_by
    if stay.wishes is not None or not stay.announced or not peer.video.slots:
        return
    shown = wishes_for(follow(_slots(stay, peer), seen, dominant, stay.csrcs), dominant)
    if shown != stay.shown:
        stay.shown = shown
        yield from stay.watches()


def _slots(stay: Stay, peer: Peer) -> list[int | None]:
    by_slot = {each.slot: each.csrc for each in stay.shown}
    return [by_slot.get(slot) for slot in range(peer.video.slots)]
