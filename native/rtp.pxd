# The C side of native/rtp.pyx, for other Cython modules to cimport.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t


cdef enum Fault:
    SOUND
    SHORT
    VERSION
    EXTENSION
    PADDING


# Where everything lies in a packet. Offsets are from the packet's first byte, sizes in bytes; the packet keeps its bytes.
cdef struct Layout:
    bint marker
    uint8_t payload_type
    uint16_t sequence
    uint32_t timestamp
    uint32_t ssrc
    uint8_t csrc_count
    uint16_t profile          # of the extension block; 0 without one
    Py_ssize_t extension      # the block's elements, after its own four bytes
    Py_ssize_t extension_size
    Py_ssize_t payload
    Py_ssize_t payload_size   # without padding


# One element of an RFC 8285 block.
cdef struct Element:
    uint8_t id
    Py_ssize_t offset
    Py_ssize_t size


# Fill `layout` from the `size` bytes at `data`, which are borrowed for the call.
cdef Fault read_layout(const uint8_t* data, Py_ssize_t size, Layout* layout) noexcept nogil

# Step `cursor` (at first `layout.extension`) to the next element. False at the end, and with `fault` set on a bad block.
cdef bint next_element(
    const uint8_t* data, const Layout* layout, Py_ssize_t* cursor, Element* element, Fault* fault
) noexcept nogil


@cython.final
cdef class Header:
    cdef readonly bint marker
    cdef readonly uint8_t payload_type
    cdef readonly uint16_t sequence
    cdef readonly uint32_t timestamp
    cdef readonly uint32_t ssrc
    cdef readonly tuple csrcs
    cdef readonly tuple extensions

    cdef bint _one_byte(self) except -1
    cdef Py_ssize_t _block_size(self) except -1


@cython.final
cdef class Jitter:
    cdef readonly uint32_t clock_rate
    cdef bint _started
    cdef uint32_t _transit
    cdef int64_t _scaled  # sixteen times the estimate, in timestamp units

    cdef void _receive(self, uint32_t timestamp, int64_t arrival_ns) noexcept nogil
