"""RTP headers (RFC 3550 §5.1, RFC 8285) and interarrival jitter (RFC 3550 §6.4.1, A.8), for tools and tests.

The forwarder has its own reader in Rust; this one is independent of it on purpose, so that each can be held to the other.
Headers are immutable and may be shared by threads; a `Jitter` belongs to one thread at a time.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    FIXED = 12  # bytes of the fixed header, RFC 3550 §5.1
    ONE_BYTE = 0xBEDE  # RFC 8285 §4.2
    TWO_BYTE = 0x1000  # RFC 8285 §4.3; the low four bits are the application's
    LONGEST_BLOCK = 4 * 0xFFFF  # bytes that the block's 16-bit count of words can say
    NS = 1_000_000_000



cdef inline uint16_t load16(const uint8_t* at) noexcept nogil:
    return <uint16_t> ((at[0] << 8) | at[1])


cdef inline uint32_t load32(const uint8_t* at) noexcept nogil:
    return (<uint32_t> at[0] << 24) | (<uint32_t> at[1] << 16) | (<uint32_t> at[2] << 8) | at[3]


cdef inline void store16(uint8_t* at, uint16_t value) noexcept nogil:
    at[0] = value >> 8
    at[1] = value & 0xFF


cdef inline void store32(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = value >> 24
    at[1] = (value >> 16) & 0xFF
    at[2] = (value >> 8) & 0xFF
    at[3] = value & 0xFF


cdef Fault read_layout(const uint8_t* data, Py_ssize_t size, Layout* layout) noexcept nogil:
    """RFC 3550 §5.1, §5.3.1. Each offset is checked against `size` before the byte behind it is read."""
    cdef Py_ssize_t at = FIXED
    cdef uint8_t padding
    if size < FIXED:
        return SHORT
    if data[0] >> 6 != 2:
        return VERSION
    layout.marker = data[1] >> 7
    layout.payload_type = data[1] & 0x7F
    layout.sequence = load16(data + 2)
    layout.timestamp = load32(data + 4)
    layout.ssrc = load32(data + 8)
    layout.csrc_count = data[0] & 0x0F
    at += 4 * layout.csrc_count
    if size < at:
        return SHORT
    layout.profile = 0
    layout.extension = at
    layout.extension_size = 0
    if data[0] & 0x10:
        if size - at < 4:
            return SHORT
        layout.profile = load16(data + at)
        layout.extension_size = 4 * <Py_ssize_t> load16(data + at + 2)
        at += 4
        layout.extension = at
        if size - at < layout.extension_size:
            return SHORT
        at += layout.extension_size
    layout.payload = at
    layout.payload_size = size - at
    if data[0] & 0x20:
        # The last byte counts the padding, itself included: it can be neither 0 nor more than what is left.
        if layout.payload_size == 0:
            return PADDING
        padding = data[size - 1]
        if padding == 0 or padding > layout.payload_size:
            return PADDING
        layout.payload_size -= padding
    return SOUND


cdef bint next_element(
    const uint8_t* data, const Layout* layout, Py_ssize_t* cursor, Element* element, Fault* fault
) noexcept nogil:
    """RFC 8285 §4.2 and §4.3. Blocks of any other profile have no elements: RFC 3550 §5.3.1 lets them be skipped."""
    cdef Py_ssize_t end = layout.extension + layout.extension_size
    cdef bint one_byte = layout.profile == ONE_BYTE
    if not one_byte and layout.profile & 0xFFF0 != TWO_BYTE:
        return False
    while cursor[0] < end:
        if data[cursor[0]] == 0:
            cursor[0] += 1  # a single byte of padding in both forms
            continue
        if one_byte:
            element.id = data[cursor[0]] >> 4
            if element.id == 15:
                return False  # reserved: what follows must not be read
            if element.id == 0:
                fault[0] = EXTENSION  # padding has no length (§4.2)
                return False
            element.size = (data[cursor[0]] & 0x0F) + 1
            element.offset = cursor[0] + 1
        else:
            if end - cursor[0] < 2:
                fault[0] = EXTENSION
                return False
            element.id = data[cursor[0]]
            element.size = data[cursor[0] + 1]
            element.offset = cursor[0] + 2
        if end - element.offset < element.size:
            fault[0] = EXTENSION
            return False
        cursor[0] = element.offset + element.size
        return True
    return False


cdef object reason(Fault fault):
    if fault == SHORT:
        return ValueError("short")
    if fault == VERSION:
        return ValueError("version")
    if fault == EXTENSION:
        return ValueError("extension")
    return ValueError("padding")


@cython.final
cdef class Header:
    """A packet's header, padding apart.

    `extensions` are (id, data) pairs in wire order. The one-byte form of RFC 8285 is written where every id is 1 to 14 and every
    length 1 to 16 bytes, the two-byte form otherwise. Raises OverflowError for a number too large for its field, ValueError
    for more than 15 CSRCs or extensions that neither form can carry.
    """

    def __init__(
        self,
        *,
        uint8_t payload_type,
        uint16_t sequence,
        uint32_t timestamp,
        uint32_t ssrc,
        bint marker=False,
        csrcs=(),
        extensions=(),
    ):
        if payload_type > 127:
            raise OverflowError("payload_type has 7 bits")
        self.payload_type = payload_type
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.marker = marker
        cdef uint32_t checked
        self.csrcs = tuple(csrcs)
        if len(self.csrcs) > 15:
            raise ValueError("a header has room for 15 CSRCs")
        for csrc in self.csrcs:
            checked = csrc
        self.extensions = tuple([(int(number), bytes(data)) for number, data in extensions])
        for number, data in self.extensions:
            if not 1 <= number <= 255:
                raise ValueError("an extension's id is 1 to 255")
            if len(data) > 255:
                raise ValueError("an extension carries at most 255 bytes")
        if self._block_size() > LONGEST_BLOCK:
            raise ValueError("the extensions are longer than a header can say")

    @property
    def size(self) -> int:
        """Bytes that `serialize` gives. A parsed header may have been longer: padding between extensions is not kept."""
        cdef Py_ssize_t block = self._block_size()
        return FIXED + 4 * len(self.csrcs) + (4 + block if self.extensions else 0)

    def serialize(self) -> bytes:
        """The header in wire form, as bytes of its own; a packet is this and the payload behind it."""
        cdef bytes wire = PyBytes_FromStringAndSize(NULL, self.size)
        cdef uint8_t* at = <uint8_t*> PyBytes_AS_STRING(wire)
        cdef const uint8_t* end = at + len(wire)
        cdef bint one_byte = self._one_byte()
        cdef Py_ssize_t length
        cdef bytes data
        at[0] = 0x80 | (0x10 if self.extensions else 0) | <uint8_t> len(self.csrcs)
        at[1] = (<uint8_t> self.marker << 7) | self.payload_type
        store16(at + 2, self.sequence)
        store32(at + 4, self.timestamp)
        store32(at + 8, self.ssrc)
        at += FIXED
        for csrc in self.csrcs:
            store32(at, csrc)
            at += 4
        if self.extensions:
            store16(at, ONE_BYTE if one_byte else TWO_BYTE)
            store16(at + 2, <uint16_t> (self._block_size() // 4))
            at += 4
            for number, data in self.extensions:
                length = len(data)
                if one_byte:
                    at[0] = <uint8_t> ((<int> number << 4) | (length - 1))
                    at += 1
                else:
                    at[0] = number
                    at[1] = <uint8_t> length
                    at += 2
                memcpy(at, PyBytes_AS_STRING(data), length)
                at += length
            memset(at, 0, end - at)  # padding to a whole word
        return wire

    cdef bint _one_byte(self) except -1:
        for number, data in self.extensions:
            if number > 14 or not 1 <= len(data) <= 16:
                return False
        return True

    cdef Py_ssize_t _block_size(self) except -1:
        """Bytes of the extension elements, padded to whole words."""
        cdef Py_ssize_t prefix = 1 if self._one_byte() else 2
        cdef Py_ssize_t size = 0
        for _, data in self.extensions:
            size += prefix + len(data)
        return (size + 3) // 4 * 4

    def _key(self):
        return (
            self.marker, self.payload_type, self.sequence, self.timestamp, self.ssrc, self.csrcs, self.extensions,
        )

    def __eq__(self, other):
        return self._key() == (<Header> other)._key() if isinstance(other, Header) else NotImplemented

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return (
            f"Header(payload_type={self.payload_type}, sequence={self.sequence}, timestamp={self.timestamp}, "
            f"ssrc={self.ssrc}, marker={self.marker}, csrcs={self.csrcs}, extensions={self.extensions})"
        )


cdef object build(const uint8_t* data, const Layout* layout):
    """A Header with copies of what it needs from the packet at `data`, which is borrowed for the call."""
    cdef Header header = Header.__new__(Header)  # what the wire says is in range: no need for the checks of __init__
    header.payload_type = layout.payload_type
    header.sequence = layout.sequence
    header.timestamp = layout.timestamp
    header.ssrc = layout.ssrc
    header.marker = layout.marker
    header.csrcs = ()
    header.extensions = ()
    cdef Py_ssize_t cursor = layout.extension
    cdef Element element
    cdef Fault fault = SOUND
    cdef int i
    cdef list csrcs, extensions
    if layout.csrc_count:
        csrcs = []
        for i in range(layout.csrc_count):
            csrcs.append(load32(data + FIXED + 4 * i))
        header.csrcs = tuple(csrcs)
    if layout.extension_size:
        extensions = []
        while next_element(data, layout, &cursor, &element, &fault):
            extensions.append((element.id, (<const char*> data)[element.offset : element.offset + element.size]))
        if fault != SOUND:
            raise reason(fault)
        header.extensions = tuple(extensions)
    return header


def parse(packet):
    """Split an RTP packet into its Header and its payload, padding removed.

    `packet` is any contiguous buffer. It is read during the call only: header and payload are copies, so the caller may
    reuse or free the buffer on return. Never reads past its end.

    Raises ValueError("short" | "version" | "extension" | "padding") on what is not RTP, BufferError or TypeError on what is
    not a contiguous buffer.
    """
    cdef Py_buffer view
    cdef Layout layout
    cdef Fault fault
    PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
    try:
        fault = read_layout(<const uint8_t*> view.buf, view.len, &layout)
        if fault != SOUND:
            raise reason(fault)
        header = build(<const uint8_t*> view.buf, &layout)
        return header, PyBytes_FromStringAndSize(<const char*> view.buf + layout.payload, layout.payload_size)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Jitter:
    """Interarrival jitter of one RTP stream: RFC 3550 §6.4.1, in the integer arithmetic of A.8.

    `clock_rate` is the stream's, in Hz. Raises ValueError when it is 0.
    """

    def __cinit__(self, uint32_t clock_rate):
        if clock_rate == 0:
            raise ValueError("clock_rate is at least 1 Hz")
        self.clock_rate = clock_rate
        self._started = False
        self._transit = 0
        self._scaled = 0

    def receive(self, uint32_t timestamp, int64_t arrival_ns):
        """Count one packet: its RTP timestamp, and when it arrived on any clock that never jumps, in nanoseconds."""
        self._receive(timestamp, arrival_ns)

    @cython.boundscheck(False)  # both lengths are compared before the loop
    def receive_batch(self, const uint32_t[::1] timestamps not None, const int64_t[::1] arrivals_ns not None):
        """Count many packets in order of arrival. Both arrays are read during the call only.

        Raises ValueError when their lengths differ, and counts nothing then.
        """
        cdef Py_ssize_t i
        if timestamps.shape[0] != arrivals_ns.shape[0]:
            raise ValueError("one arrival for each timestamp")
        with nogil:
            for i in range(timestamps.shape[0]):
                self._receive(timestamps[i], arrivals_ns[i])

    cdef void _receive(self, uint32_t timestamp, int64_t arrival_ns) noexcept nogil:
        # Whole seconds and the rest apart: their product with the rate would leave 64 bits within days.
        cdef int64_t seconds = arrival_ns // NS
        cdef int64_t rest = arrival_ns - seconds * NS
        cdef uint32_t arrival = <uint32_t> (<uint64_t> seconds * self.clock_rate + <uint64_t> rest * self.clock_rate // NS)
        cdef uint32_t transit = arrival - timestamp
        cdef int64_t difference
        if self._started:
            # The difference is modulo 2**32: a wrapped timestamp is no jump.
            difference = <int32_t> (transit - self._transit)
            if difference < 0:
                difference = -difference
            self._scaled += difference - ((self._scaled + 8) >> 4)
        self._started = True
        self._transit = transit

    @property
    def timestamp_units(self) -> int:
        """The estimate as a report block carries it (§6.4.1), in units of the stream's clock."""
        return self._scaled >> 4

    @property
    def seconds(self) -> float:
        """The estimate in seconds."""
        return (self._scaled >> 4) / <double> self.clock_rate
