"""This node's answer: ICE lite, one transport, one stream a slot."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from data_plane.sdp.audio import AudioLine
from data_plane.sdp.candidate import Candidate, candidate_lines
from data_plane.sdp.offer import Offer, RefusedLine, Role
from data_plane.sdp.section import AUDIO_LEVEL, MID
from data_plane.sdp.video import CODECS, Codec, VideoFormat, VideoLine


@dataclass(frozen=True, slots=True)
class Local:
    """Our side of one client's transport."""

    ufrag: str
    password: str
    fingerprint: bytes  # SHA-256
    cname: str
    source_mids: Collection[str]  # of the m-lines that we receive
    slot_ssrcs: Mapping[str, int]  # by mid, of the audio lines that we send
    session: int  # of the o= line
    version: int = 1  # of the o= line: one more with each further answer (RFC 3264 §8)
    video_ssrcs: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # the same of video: media, RTX
    codecs: Sequence[Codec] = CODECS  # in the order in which we would rather receive them


def describe(offer: Offer, local: Local, candidates: Sequence[Candidate]) -> str:
    """The answer to `offer`, with as many m-lines in the same order (RFC 3264 §6).

    `candidates`: address and UDP port.
    """
    return "\r\n".join((*_session(offer, local), *_media(offer, local, candidates), ""))


def _session(offer: Offer, local: Local) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {local.session} {local.version} IN IP4 127.0.0.1"
    yield "s=-"
    yield "t=0 0"
    if offer.grouped:
        yield f"a=group:BUNDLE {' '.join(offer.bundle)}"
    if offer.mixed:
        yield "a=extmap-allow-mixed"
    yield "a=msid-semantic: WMS *"
    yield "a=ice-lite"


def _media(offer: Offer, local: Local, candidates: Sequence[Candidate]) -> Iterator[str]:
    # RFC 8843 §10 wants these on the tagged m-line alone, but aiortc takes those of the last line of a transport, and
    # nobody minds repetition.
    transport = list(_transport(offer, local, candidates))
    for line in offer.lines:
        match line:
            case RefusedLine():
                yield f"m={line.media} 0 {line.protocol} {line.format}"
                yield "c=IN IP4 0.0.0.0"
                if line.mid is not None:
                    yield f"a=mid:{line.mid}"
                yield "a=inactive"
            case AudioLine():
                yield from _audio(line, local, transport)
            case VideoLine():
                yield from _video(line, local, transport)


def _transport(offer: Offer, local: Local, candidates: Sequence[Candidate]) -> Iterator[str]:
    yield f"a=ice-ufrag:{local.ufrag}"
    yield f"a=ice-pwd:{local.password}"
    yield f"a=fingerprint:sha-256 {local.fingerprint.hex(':').upper()}"
    yield f"a=setup:{Role.answering(offer.setup).value}"
    yield from candidate_lines(candidates)
    yield "a=end-of-candidates"


def _head(line: AudioLine | VideoLine, media: str, formats: Sequence[int], transport: Sequence[str]) -> Iterator[str]:
    yield f"m={media} 9 {line.protocol} {' '.join(map(str, formats))}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{line.mid}"
    yield from transport
    yield "a=rtcp-mux"
    if line.rtcp_mux_only:
        yield "a=rtcp-mux-only"
    yield "a=rtcp-rsize"


def _direction(*, receives: bool, sends: bool) -> str:
    """Ours."""
    if sends:
        return "a=sendrecv" if receives else "a=sendonly"
    return "a=recvonly" if receives else "a=inactive"


def _audio(line: AudioLine, local: Local, transport: Sequence[str]) -> Iterator[str]:
    receives, ssrc = line.mid in local.source_mids, local.slot_ssrcs.get(line.mid)
    opus, red = line.payload_type, line.red_payload_type
    formats = [opus] if red is None else [red, opus] if line.prefers_red else [opus, red]
    yield from _head(line, "audio", formats, transport)
    yield f"a=rtpmap:{opus} opus/48000/2"
    yield f"a=fmtp:{opus} minptime=10;useinbandfec=1"
    if line.nack:
        yield f"a=rtcp-fb:{opus} nack"
    if red is not None:
        yield f"a=rtpmap:{red} red/48000/2"
        yield f"a=fmtp:{red} {opus}/{opus}"
    if line.level_extension is not None:
        yield f"a=extmap:{line.level_extension} {AUDIO_LEVEL}"
    if line.mid_extension is not None:
        yield f"a=extmap:{line.mid_extension} {MID}"
    if ssrc is not None:
        stream = f"slot-{list(local.slot_ssrcs).index(line.mid)}"
        yield f"a=msid:{stream} {stream}"
        yield f"a=ssrc:{ssrc} cname:{local.cname}"
    yield _direction(receives=receives, sends=ssrc is not None)


def _video(line: VideoLine, local: Local, transport: Sequence[str]) -> Iterator[str]:
    receives, ssrcs = line.mid in local.source_mids, local.video_ssrcs.get(line.mid)
    # The first is what a client sends that was told nothing else.
    formats = sorted(line.formats, key=lambda each: local.codecs.index(each.codec)) if receives else line.formats
    yield from _head(line, "video", [number for each in formats for number in _payload_types(each)], transport)
    for each in formats:
        yield from _format(each)
    yield from (f"a=extmap:{each}" for each in line.agreed(receives=receives))
    if receives and line.rids:
        yield from (f"a=rid:{rid} recv" for rid in line.rids)
        yield f"a=simulcast:recv {';'.join(line.rids)}"
    if ssrcs is not None:
        yield from _stream(f"video-{list(local.video_ssrcs).index(line.mid)}", line, ssrcs, local.cname)
    yield _direction(receives=receives, sends=ssrcs is not None)


def _payload_types(each: VideoFormat) -> Iterator[int]:
    yield each.payload_type
    if each.rtx_payload_type is not None:
        yield each.rtx_payload_type


def _format(each: VideoFormat) -> Iterator[str]:
    name = each.codec.upper()
    yield f"a=rtpmap:{each.payload_type} {name}/90000"
    if each.parameters:
        yield f"a=fmtp:{each.payload_type} {each.parameters}"
    yield from (f"a=rtcp-fb:{each.payload_type} {kind}" for kind in each.feedback)
    if each.rtx_payload_type is not None:
        yield f"a=rtpmap:{each.rtx_payload_type} rtx/90000"
        yield f"a=fmtp:{each.rtx_payload_type} apt={each.payload_type}"


def _stream(name: str, line: VideoLine, ssrcs: tuple[int, int], cname: str) -> Iterator[str]:
    """One stream a slot, with that of its RTX (RFC 5576 §4.2) where a format has one."""
    media, rtx = ssrcs
    yield f"a=msid:{name} {name}"
    if any(each.rtx_payload_type is not None for each in line.formats):
        yield f"a=ssrc-group:FID {media} {rtx}"
        yield f"a=ssrc:{media} cname:{cname}"
        yield f"a=ssrc:{rtx} cname:{cname}"
    else:
        yield f"a=ssrc:{media} cname:{cname}"
