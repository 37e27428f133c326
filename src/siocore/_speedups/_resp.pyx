# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""The compiled twin of siocore.redis._resp, over pointers. See there for what it promises.

What is complete is never looked at again: arrays that are not are kept with what they have so far, and of a long
string nothing is joined before its last byte is there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact, PyLong_FromLongLong
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memchr, memcpy

cimport cython

from coredis.exceptions import InvalidResponse
from coredis.parser import Parser


__all__ = ["Reader", "pack"]

cdef enum:
    ARRAY = 0x2A  # *
    BIG_NUMBER = 0x28  # (
    BOOLEAN = 0x23  # #
    BULK_STRING = 0x24  # $
    DOUBLE = 0x2C  # ,
    ERROR = 0x2D  # -
    INTEGER = 0x3A  # :
    MAP = 0x25  # %
    NULL_VALUE = 0x5F  # _
    PUSH = 0x3E  # >
    SET = 0x7E  # ~
    SIMPLE_STRING = 0x2B  # +
    VERBATIM = 0x3D  # =
    # Digits of a number that surely fits into 64 bit.
    SAFE_DIGITS = 18

cdef object _error_of = Parser().parse_error


@cython.final
cdef class Reader:
    def __init__(self):
        # Pieces that nothing could be made of yet, their size, and the size from which on another look is worth it.
        self._waiting = []
        self._size = 0
        self._needed = 0
        # The innermost array, map or set that is not complete: what is in it, and how much is not. None outside.
        self._items = None
        self._left = 0
        self._kind = 0
        # Those around it.
        self._outer = []

    cpdef list feed(self, bytes data):
        cdef list values = []
        cdef Py_ssize_t at = 0, end, line, length
        cdef const char* start
        cdef const char* found
        cdef int kind
        cdef object value
        if data is None:
            raise TypeError("bytes are expected")
        if self._size:
            self._waiting.append(data)
            self._size += PyBytes_GET_SIZE(data)
            if self._size < self._needed:
                return values
            data = b"".join(self._waiting)
            self._waiting = []
            self._size = 0
        start = PyBytes_AS_STRING(data)
        end = PyBytes_GET_SIZE(data)
        while at < end:
            found = <const char*>memchr(start + at, 13, end - at)
            if found == NULL or found + 1 == start + end:
                return self._wait(data, at, end + 1, values)
            if found[1] != 10:
                raise InvalidResponse("a line of Redis ends with CR and LF")
            line = found - start
            kind = <unsigned char>start[at]
            if kind == BULK_STRING or kind == VERBATIM:
                length = number(start + at + 1, line - at - 1)
                if length < 0:
                    if length != -1:
                        raise InvalidResponse("a length is negative")
                    at = line + 2
                    self._complete(None, values)
                    continue
                if end - line - 4 < length:
                    return self._wait(data, at, line + 4 + length, values)
                if kind == VERBATIM:
                    if length < 4 or start[line + 2 : line + 6] != b"txt:":
                        raise InvalidResponse("unexpected verbatim string")
                    value = PyBytes_FromStringAndSize(start + line + 6, length - 4)
                else:
                    value = PyBytes_FromStringAndSize(start + line + 2, length)
                at = line + 4 + length
                self._complete(value, values)
                continue
            if kind == ARRAY or kind == PUSH or kind == MAP or kind == SET:
                length = number(start + at + 1, line - at - 1)
                at = line + 2
                if length < 0:
                    self._complete(None, values)
                elif length == 0:
                    self._complete(made(kind, []), values)
                else:
                    if self._items is not None:
                        self._outer.append((self._items, self._left, self._kind))
                    self._items = []
                    self._left = 2 * length if kind == MAP else length
                    self._kind = kind
                continue
            if kind == INTEGER:
                if line - at - 1 <= SAFE_DIGITS:
                    value = PyLong_FromLongLong(number(start + at + 1, line - at - 1))
                else:
                    value = int(start[at + 1 : line])
            elif kind == SIMPLE_STRING:
                value = PyBytes_FromStringAndSize(start + at + 1, line - at - 1)
            elif kind == ERROR:
                value = _error_of((start[at + 1 : line]).decode("utf-8"))
            elif kind == NULL_VALUE:
                value = None
            elif kind == BOOLEAN:
                value = start[at + 1] == 0x74
            elif kind == DOUBLE:
                value = float(start[at + 1 : line])
            elif kind == BIG_NUMBER:
                value = int(start[at + 1 : line])
            else:
                raise InvalidResponse(f"Redis sent a value of an unknown type: {chr(kind)!r}")
            at = line + 2
            self._complete(value, values)
        return values

    cdef list _wait(self, bytes data, Py_ssize_t at, Py_ssize_t needed, list values):
        self._waiting = [data[at:]]
        self._size = PyBytes_GET_SIZE(data) - at
        self._needed = needed - at
        return values

    cdef int _complete(self, object value, list values) except -1:
        """A value is there: the next of what is around it, if anything is."""
        while self._items is not None:
            self._items.append(value)
            self._left -= 1
            if self._left:
                return 0
            value = made(self._kind, self._items)
            if self._outer:
                self._items, self._left, self._kind = self._outer.pop()
            else:
                self._items = None
        values.append(value)
        return 0


cdef object made(int kind, list items):
    if kind == ARRAY:
        return items
    if kind == PUSH:
        return tuple(items)
    if kind == SET:
        return set(items)
    return dict(zip(items[::2], items[1::2]))


cdef long long number(const char* digits, Py_ssize_t count) except? -7:
    cdef bint negative = count > 0 and digits[0] == 0x2D
    cdef long long value = 0
    cdef Py_ssize_t at
    if not negative < count <= SAFE_DIGITS:
        raise InvalidResponse("a number is expected")
    for at in range(negative, count):
        if not 0x30 <= digits[at] <= 0x39:
            raise InvalidResponse("a number is expected")
        value = 10 * value + (digits[at] - 0x30)
    return -value if negative else value


cpdef bytes pack(list commands):
    cdef Py_ssize_t size = 0, length
    cdef tuple command
    cdef object part
    cdef list parts = []
    cdef bytes packed, encoded
    cdef char* to
    # First how long it becomes, then the bytes.
    for command in commands:
        size += 3 + digits_of(len(command))
        for part in command:
            if PyBytes_CheckExact(part):
                encoded = <bytes>part
            elif PyUnicode_CheckExact(part):
                encoded = (<str>part).encode("utf-8")
            elif PyLong_CheckExact(part):
                encoded = b"%d" % part
            else:
                raise TypeError(f"an argument is bytes, text or an integer, not {type(part).__name__}")
            length = PyBytes_GET_SIZE(encoded)
            size += 5 + digits_of(length) + length
            parts.append(encoded)
    packed = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(packed)
    cdef Py_ssize_t next_part = 0, each
    for command in commands:
        to = write_head(to, ARRAY, len(command))
        for each in range(len(command)):
            encoded = <bytes>parts[next_part]
            next_part += 1
            length = PyBytes_GET_SIZE(encoded)
            to = write_head(to, BULK_STRING, length)
            memcpy(to, PyBytes_AS_STRING(encoded), length)
            to += length
            to[0] = 13
            to[1] = 10
            to += 2
    return packed


cdef int digits_of(Py_ssize_t value):
    cdef int count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


cdef char* write_head(char* to, char kind, Py_ssize_t value):
    cdef int count = digits_of(value)
    cdef int at
    to[0] = kind
    for at in range(count, 0, -1):
        to[at] = 0x30 + value % 10
        value //= 10
    to[count + 1] = 13
    to[count + 2] = 10
    return to + count + 3
