# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twin of siocore.codec.heads: the same heads, in one pass over the bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp

__all__ = ["recognise_head"]

# Bits of _CLASS: a character of a token, a visible character, white space within a line.
cdef enum:
    TOKEN = 1
    VISIBLE = 2
    BLANK = 4

cdef unsigned char _CLASS[256]
cdef enum:
    KEEP = 0
    CLOSE = 1
    UNDECIDED = 2

# Names are sent back in lower case, so what a token becomes is looked up as well.
cdef unsigned char _LOWER[256]


cdef void _fill_tables():
    cdef int code
    for code in range(256):
        _CLASS[code] = VISIBLE if 0x21 <= code <= 0x7E else 0
        _LOWER[code] = code + 32 if 65 <= code <= 90 else code
    for code in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        _CLASS[code] |= TOKEN
    _CLASS[0x20] = BLANK
    _CLASS[0x09] = BLANK


_fill_tables()

# Most requests carry the same names: those are shared, not made anew.
cdef tuple _COMMON = (
    b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection", b"content-length",
    b"content-type", b"cookie", b"origin", b"referer", b"cache-control", b"pragma", b"sec-fetch-dest",
    b"sec-fetch-mode", b"sec-fetch-site", b"x-forwarded-for", b"x-forwarded-proto",
)
cdef dict _NAMES = {name: name for name in _COMMON}


cpdef recognise_head(head):
    if not PyBytes_CheckExact(head):
        raise TypeError(f"a head is bytes, not {type(head).__name__}")
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(head)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head)
    cdef Py_ssize_t at, start, stop, index
    cdef unsigned char lowered[64]
    cdef bint get
    cdef int hosts = 0
    cdef int lengths = 0
    cdef long long length = 0
    cdef int fate = KEEP
    cdef str target
    cdef bytes name
    cdef bytes value
    cdef list headers = []
    if size >= 18 and memcmp(data, b"GET /", 5) == 0:
        get = True
        start = 4
    elif size >= 18 and memcmp(data, b"POST /", 6) == 0:
        get = False
        start = 5
    else:
        return None
    at = start
    while at < size and _CLASS[data[at]] & VISIBLE:
        at += 1
    if size - at < 13 or memcmp(data + at, b" HTTP/1.1\r\n", 11) != 0:
        return None
    target = PyUnicode_DecodeASCII(<const char *>data + start, at - start, NULL)
    at += 11
    while True:
        if size - at < 2:
            return None
        if data[at] == 13:
            if data[at + 1] != 10 or at + 2 != size:
                return None
            break
        start = at
        while at < size and _CLASS[data[at]] & TOKEN:
            at += 1
        if at == start or at - start > 64 or at >= size or data[at] != 58:
            return None
        for index in range(at - start):
            lowered[index] = _LOWER[data[start + index]]
        name = PyBytes_FromStringAndSize(<const char *>lowered, at - start)
        name = _NAMES.get(name, name)
        at += 1
        while at < size and _CLASS[data[at]] & BLANK:
            at += 1
        start = stop = at
        while at < size and _CLASS[data[at]] & (VISIBLE | BLANK):
            if _CLASS[data[at]] & VISIBLE:
                stop = at + 1
            at += 1
        if size - at < 2 or data[at] != 13 or data[at + 1] != 10:
            return None
        at += 2
        value = PyBytes_FromStringAndSize(<const char *>data + start, stop - start)
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if stop == start or stop - start > 18:
                return None
            length = 0
            for index in range(start, stop):
                if data[index] < 48 or data[index] > 57:
                    return None
                length = length * 10 + (data[index] - 48)
            lengths += 1
        elif name == b"transfer-encoding":
            return None
        elif name == b"connection":
            if is_word(data + start, stop - start, b"close", 5):
                fate = CLOSE if fate == KEEP else fate
            elif not is_word(data + start, stop - start, b"keep-alive", 10):
                fate = UNDECIDED
        elif name == b"upgrade" or name == b"expect" or name == b"content-encoding":
            fate = UNDECIDED
        headers.append((name, value))
    if hosts != 1 or lengths > 1:
        return None
    return "GET" if get else "POST", target, headers, length, fate


cdef inline bint is_word(const unsigned char *value, Py_ssize_t size, const char *word, Py_ssize_t length) noexcept:
    cdef Py_ssize_t index
    if size != length:
        return False
    for index in range(size):
        if _LOWER[value[index]] != <unsigned char>word[index]:
            return False
    return True
