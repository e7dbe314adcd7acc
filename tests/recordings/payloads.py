"""What a receiver reads of a payload: RFC 7741 (VP8), RFC 9628 (VP9), RFC 6184 (H264), the AV1 RTP specification."""

from dataclasses import dataclass, field


class Malformed(ValueError):
    """A payload that no receiver could use."""


@dataclass(frozen=True)
class Vp8:
    begins: bool
    key: bool
    picture_id: int | None
    tl0: int | None
    temporal: int
    sync: bool
    key_index: int | None
    data: bytes


def vp8(payload: bytes) -> Vp8:
    """RFC 7741 §4.2 and §4.3. Raises Malformed."""
    try:
        first, at = payload[0], 1
        picture_id = tl0 = key_index = None
        temporal, sync = 0, False
        if first & 0x80:
            flags, at = payload[1], 2
            if flags & 0x80:
                picture_id, at = payload[at] & 0x7F, at + 1
                if payload[at - 1] & 0x80:
                    picture_id, at = picture_id << 8 | payload[at], at + 1
            if flags & 0x40:
                tl0, at = payload[at], at + 1
            if flags & 0x30:
                temporal, sync, key_index = payload[at] >> 6, bool(payload[at] & 0x20), payload[at] & 0x1F
                at += 1
        begins = bool(first & 0x10) and not first & 0x07
        return Vp8(begins, begins and not payload[at] & 1, picture_id, tl0, temporal, sync, key_index, payload[at:])
    except IndexError:
        raise Malformed("VP8 descriptor") from None


@dataclass(frozen=True)
class Vp9:
    begins: bool
    ends: bool
    predicted: bool  # from other pictures
    flexible: bool
    picture_id: int | None
    tl0: int | None
    temporal: int
    up_switch: bool
    spatial: int
    inter_layer: bool
    not_reference: bool  # for the next spatial layer
    differences: tuple[int, ...]
    structure: tuple[tuple[int, bool, tuple[int, ...]], ...] | None  # (temporal, up switch, picture differences) each
    sizes: tuple[tuple[int, int], ...]
    data: bytes


def vp9(payload: bytes) -> Vp9:
    """RFC 9628 §4.2. Raises Malformed."""
    try:
        first, at = payload[0], 1
        has_picture_id, predicted, layers, flexible, begins, ends, has_structure, not_reference = (
            bool(first >> (7 - bit) & 1) for bit in range(8)
        )
        picture_id = tl0 = None
        temporal = spatial = 0
        up_switch = inter_layer = False
        if has_picture_id:
            picture_id, at = payload[at] & 0x7F, at + 1
            if payload[at - 1] & 0x80:
                picture_id, at = picture_id << 8 | payload[at], at + 1
        if layers:
            each, at = payload[at], at + 1
            temporal, up_switch, spatial, inter_layer = each >> 5, bool(each & 0x10), each >> 1 & 7, bool(each & 1)
            if not flexible:
                tl0, at = payload[at], at + 1
        differences = list[int]()
        if flexible and predicted:
            while True:
                differences.append(payload[at] >> 1)
                at += 1
                if not payload[at - 1] & 1:
                    break
        structure: list[tuple[int, bool, tuple[int, ...]]] | None = None
        sizes = list[tuple[int, int]]()
        if has_structure:
            head, at = payload[at], at + 1
            if head & 0x10:
                for _ in range((head >> 5) + 1):
                    sizes.append((payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3]))
                    at += 4
            if head & 0x08:
                structure, count, at = [], payload[at], at + 1
                for _ in range(count):
                    each, at = payload[at], at + 1
                    references = each >> 2 & 3
                    structure.append((each >> 5, bool(each & 0x10), tuple(payload[at : at + references])))
                    at += references
        return Vp9(
            begins,
            ends,
            predicted,
            flexible,
            picture_id,
            tl0,
            temporal,
            up_switch,
            spatial,
            inter_layer,
            not_reference,
            tuple(differences),
            tuple(structure) if structure is not None else None,
            tuple(sizes),
            payload[at:],
        )
    except IndexError:
        raise Malformed("VP9 descriptor") from None


START_CODE = b"\0\0\0\1"
SPS, IDR = 7, 5


@dataclass
class H264:
    """Takes the payloads of one access unit, and gives Annex B."""

    units: list[bytes] = field(default_factory=list)
    fragments: list[bytes] = field(default_factory=list)

    def take(self, payload: bytes) -> None:
        """RFC 6184 §5.6 to §5.8. Raises Malformed."""
        if len(payload) < 2:
            raise Malformed("NAL unit")
        kind = payload[0] & 0x1F
        if kind == 24:
            at = 1
            while at + 2 <= len(payload):
                size = payload[at] << 8 | payload[at + 1]
                if not size or at + 2 + size > len(payload):
                    raise Malformed("STAP-A")
                self.units.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                self.fragments = [bytes([payload[0] & 0xE0 | payload[1] & 0x1F])]
            elif not self.fragments:
                raise Malformed("FU-A without its start")
            self.fragments.append(payload[2:])
            if payload[1] & 0x40:
                self.units.append(b"".join(self.fragments))
                self.fragments = []
        else:
            self.units.append(payload)

    @property
    def key(self) -> bool:
        kinds = {unit[0] & 0x1F for unit in self.units}
        return {SPS, IDR} <= kinds

    def annex_b(self) -> bytes:
        if self.fragments:
            raise Malformed("FU-A without its end")
        return b"".join(START_CODE + unit for unit in self.units)


def h264_begins(payload: bytes) -> bool:
    """Whether an access unit can begin with it: anything but the later fragments of a unit."""
    return len(payload) >= 2 and (payload[0] & 0x1F != 28 or bool(payload[1] & 0x80))


@dataclass
class Av1:
    """Takes the payloads of one frame, and gives OBUs with sizes."""

    obus: list[bytes] = field(default_factory=list)
    open: bool = False  # the last of them goes on in the next packet
    new_sequence: bool = False

    def take(self, payload: bytes) -> None:
        """§4.4 and §4.5. Raises Malformed."""
        if not payload:
            raise Malformed("aggregation header")
        continues, goes_on, count, new = payload[0] >> 7, payload[0] >> 6 & 1, payload[0] >> 4 & 3, payload[0] >> 3 & 1
        if bool(continues) != self.open:
            raise Malformed("an OBU's fragment is missing")
        self.new_sequence |= bool(new)
        at, index = 1, 0
        while at < len(payload):
            index += 1
            if index == count:
                size = len(payload) - at
            else:
                size, at = leb128(payload, at)
            if at + size > len(payload):
                raise Malformed("OBU element")
            part = payload[at : at + size]
            at += size
            if index == 1 and continues:
                self.obus[-1] += part
            else:
                self.obus.append(part)
        self.open = bool(goes_on)

    def data(self) -> bytes:
        """Low-overhead format, temporal delimiters apart."""
        if self.open:
            raise Malformed("an OBU without its end")
        return b"".join(with_size(obu) for obu in self.obus if obu and obu[0] >> 3 & 0x0F != 2)


def leb128(data: bytes, at: int) -> tuple[int, int]:
    """The value and where it ends. Raises Malformed."""
    value = 0
    for index in range(8):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << (7 * index)
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise Malformed("LEB128")


def with_size(obu: bytes) -> bytes:
    if obu[0] & 0x02:
        return obu
    head = 2 if obu[0] & 0x04 else 1
    size, length = len(obu) - head, b""
    while True:
        size, low = size >> 7, size & 0x7F
        length += bytes([low | (0x80 if size else 0)])
        if not size:
            return bytes([obu[0] | 0x02]) + obu[1:head] + length + obu[head:]
