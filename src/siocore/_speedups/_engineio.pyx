# cython: language_level=3, boundscheck=False, wraparound=False
"""The functions of siocore/codec/engineio.py, over pointers. See there for what they promise."""

from binascii import a2b_base64, b2a_base64

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcpy

from siocore.errors import DecodeError

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    str PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)

__all__ = ["decode_packet", "decode_payload", "encode_binary_packet", "encode_payload"]

cdef enum:
    SEPARATOR = 0x1E

cdef uint64_t HIGH_BITS = 0x8080808080808080ULL


cpdef tuple decode_packet(text):
    if type(text) is not str:
        raise TypeError(f"a packet is str, not {type(text).__name__}")
    cdef str packet = text
    message = to_message(packet)
    return (4, message) if PyBytes_CheckExact(message) else (<int>ord(packet[0]) - 48, packet[1:])


cpdef tuple decode_payload(body):
    if not PyBytes_CheckExact(body):
        raise TypeError(f"a payload is bytes, not {type(body).__name__}")
    cdef const char* start = PyBytes_AS_STRING(body)
    cdef const char* end = start + PyBytes_GET_SIZE(body)
    cdef const char* stop
    cdef Py_ssize_t size
    cdef list messages = []
    try:
        while True:
            stop = <const char*>memchr(start, SEPARATOR, end - start)
            size = (end if stop == NULL else stop) - start
            # A packet of one character goes through the decoder, which hands out the one object there is for it.
            if size > 1 and c"0" <= start[0] <= c"6":
                text = PyUnicode_New(size, 127)
                if not copy(<char*>PyUnicode_DATA(text), start, size) & HIGH_BITS:
                    messages.append(text)
                else:
                    messages.append(decode(start, size))
            else:
                messages.append(to_message(decode(start, size)))
            if stop == NULL:
                return messages, None
            start = stop + 1
    except DecodeError as error:
        return messages, error


cpdef bytes encode_payload(packets):
    return b"\x1e".join(packets)


cpdef bytes encode_binary_packet(data):
    return b"b" + <bytes>b2a_base64(data, newline=False)


cdef object to_message(str text):
    if not text:
        raise DecodeError("empty packet")
    cdef Py_UCS4 kind = text[0]
    if c"0" <= kind <= c"6":
        return text
    if kind != c"b":
        raise DecodeError("unknown packet type")
    # strict_mode lets padding stand behind a complete group, "AAAA=" and "AAAA====".
    if len(text) & 3 != 1 or text.endswith("==="):
        raise DecodeError("binary packet is not base64")
    try:
        return a2b_base64(text[1:], strict_mode=True)
    except ValueError:
        raise DecodeError("binary packet is not base64") from None


cdef str decode(const char* start, Py_ssize_t size):
    try:
        return PyUnicode_DecodeUTF8(start, size, "strict")
    except UnicodeDecodeError:
        raise DecodeError("payload is not UTF-8") from None


cdef inline uint64_t copy(char* target, const char* source, Py_ssize_t size) noexcept nogil:
    """Copy; returns the OR of all bytes, in any of its eight lanes."""
    cdef uint64_t seen = 0
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    if size < 8:
        while i < size:
            target[i] = source[i]
            seen |= <unsigned char>source[i]
            i += 1
        return seen
    while i <= size - 8:
        memcpy(&word, source + i, 8)
        memcpy(target + i, &word, 8)
        seen |= word
        i += 8
    # The last word ends where the text does: some of its bytes are copied once more.
    memcpy(&word, source + size - 8, 8)
    memcpy(target + size - 8, &word, 8)
    return seen | word
