# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=True
"""The classes and functions of siocore/codec/socketio.py, over pointers. See there for what they promise."""

from math import isfinite

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError, PyDict_Next, PyDict_SetItem
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memchr, memcmp, memcpy

from siocore._speedups._json cimport dumps, parse

from siocore.errors import DecodeError, LocalProtocolError

cdef extern from *:
    """
    /* Strings that still have to be put into their form ended with CPython 3.11. */
    #if PY_VERSION_HEX < 0x030C0000
    #define siocore_unicode_ready(text) PyUnicode_READY(text)
    #else
    #define siocore_unicode_ready(text) 0
    #endif
    """
    int unicode_ready "siocore_unicode_ready"(object text) except -1

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    bint PyUnicode_IS_ASCII(object text)
    int PyUnicode_KIND(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_UCS4 PyUnicode_READ(int width, const void* characters, Py_ssize_t index)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    str PyUnicode_Substring(object text, Py_ssize_t start, Py_ssize_t end)
    Py_ssize_t PyUnicode_FindChar(
        object text, Py_UCS4 char, Py_ssize_t start, Py_ssize_t end, int direction
    ) except -2
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    int PyList_SetItem(object items, Py_ssize_t index, PyObject* item) except -1
    void Py_INCREF(object item)

__all__ = ["Packet", "Reconstructor", "decode_socket_packet", "encode_packet"]

cdef enum:
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6
    BINARY_OFFSET = 3
    MAX_ID_DIGITS = 16
    FORWARD = 1

cdef long long MAX_ID = 2**53 - 1

cdef str PLACEHOLDER = "_placeholder"
cdef str NUM = "num"
cdef const char* PLACEHOLDER_KEY = b'"_placeholder":true'
cdef enum:
    PLACEHOLDER_KEY_SIZE = 19


@cython.final
@cython.freelist(8)
cdef class Packet:
    """A Socket.IO packet. ``type`` is never BINARY_EVENT or BINARY_ACK: those are an EVENT or ACK with attachments.

    ``data`` is the JSON value, ``None`` without one; ``id`` asks for an acknowledgement, or is the one acknowledged;
    ``attachments`` is how many are still to come. With any, ``data`` holds placeholders until a
    :class:`Reconstructor` has replaced them.
    """

    def __init__(self, type, namespace="/", data=None, id=None, attachments=0):
        self.type = type
        self.namespace = namespace
        self.data = data
        self.id = id
        self.attachments = attachments

    def __repr__(self):
        return f"<Packet {self.type} {self.namespace[:200]!r} id={self.id} attachments={self.attachments}>"


@cython.final
cdef class Bounds:
    """What of Limits counts here: to read a number from there takes as long as to read a packet without JSON."""

    cdef object limits
    cdef Py_ssize_t attachments, json_depth, event_name, namespace, payload

    def __init__(self, limits):
        self.limits = limits
        self.attachments = limits.max_attachments
        self.json_depth = limits.max_json_depth
        self.event_name = limits.max_event_name
        self.namespace = limits.max_namespace_length
        self.payload = limits.max_payload


# Those of the limits seen last. Limits are frozen, and most processes have one of them.
cdef Bounds last_bounds = None


cdef Bounds bounds_of(limits):
    global last_bounds
    cdef Bounds bounds = last_bounds
    if bounds is None or bounds.limits is not limits:
        bounds = last_bounds = Bounds(limits)
    return bounds


# Decoding


cpdef Packet decode_socket_packet(text, start, limits):
    if not PyUnicode_CheckExact(text) or not PyLong_CheckExact(start):
        raise TypeError(f"a packet is str and its start int, not {type(text).__name__} and {type(start).__name__}")
    unicode_ready(text)
    cdef Py_ssize_t index = <Py_ssize_t>whole_number(start, PyUnicode_GET_LENGTH(text) - 1)
    if index < 0:
        raise DecodeError("empty packet")
    cdef Bounds bounds = bounds_of(limits)
    cdef Packet packet = Packet.__new__(Packet)
    cdef int kind = read_head(packet, text, &index, bounds)
    if index == PyUnicode_GET_LENGTH(text):
        if kind != CONNECT and kind != DISCONNECT:
            raise DecodeError("payload is missing")
        return packet
    if not may_start(kind, PyUnicode_READ(PyUnicode_KIND(text), PyUnicode_DATA(text), index)):
        raise DecodeError("illegal payload")
    packet.data = parse(tail(text, index), bounds.json_depth)
    cdef str fault
    if kind == EVENT:
        fault = fault_of_event(packet.data, bounds.event_name)
        if fault is not None:
            raise DecodeError(fault)
    return packet


cdef int read_head(Packet packet, text, Py_ssize_t* at, Bounds bounds) except -1:
    """Read what is in front of the JSON, from the type at ``at`` on; returns the type."""
    cdef int width = PyUnicode_KIND(text)
    cdef const void* characters = PyUnicode_DATA(text)
    cdef Py_ssize_t end = PyUnicode_GET_LENGTH(text)
    cdef Py_ssize_t index = at[0]
    cdef int kind = <int>PyUnicode_READ(width, characters, index) - <int>c"0"
    cdef long long number
    if not CONNECT <= kind <= BINARY_ACK:
        raise DecodeError("unknown packet type")
    index += 1
    packet.namespace = "/"
    packet.attachments = 0
    if kind >= BINARY_EVENT:
        kind -= BINARY_OFFSET
        number = read_number(width, characters, &index, end)
        if number < 1 or index == end or PyUnicode_READ(width, characters, index) != c"-":
            raise DecodeError("illegal attachments")
        if number > bounds.attachments:
            raise DecodeError("too many attachments")
        packet.attachments = number
        index += 1
    packet.type = kind
    if index < end and PyUnicode_READ(width, characters, index) == c"/":
        packet.namespace = read_namespace(text, &index, end, bounds)
    if index < end and is_digit(PyUnicode_READ(width, characters, index)):
        number = read_number(width, characters, &index, end)
        if number > MAX_ID:
            raise DecodeError("illegal id")
        packet.id = number
    elif kind == ACK:
        raise DecodeError("acknowledgement without an id")
    at[0] = index
    return kind


cdef inline bint may_start(int kind, Py_UCS4 char) noexcept:
    if char == c"[":
        return kind == EVENT or kind == ACK
    if char == c"{":
        return kind == CONNECT or kind == CONNECT_ERROR
    return char == c'"' and kind == CONNECT_ERROR


cdef inline bint is_digit(Py_UCS4 char) noexcept:
    return c"0" <= char <= c"9"


cdef long long read_number(int width, const void* characters, Py_ssize_t* at, Py_ssize_t end) noexcept:
    cdef Py_ssize_t index = at[0]
    cdef Py_ssize_t last = min(end, index + MAX_ID_DIGITS)
    cdef long long number = 0
    cdef Py_UCS4 char
    while index < last:
        char = PyUnicode_READ(width, characters, index)
        if not is_digit(char):
            break
        number = number * 10 + <long long>char - <long long>c"0"
        index += 1
    at[0] = index
    return number


cdef str read_namespace(text, Py_ssize_t* at, Py_ssize_t end, Bounds bounds):
    cdef Py_ssize_t start = at[0]
    cdef Py_ssize_t comma = PyUnicode_FindChar(text, c",", start, end, FORWARD)
    cdef Py_ssize_t stop = end if comma < 0 else comma
    if stop - start > bounds.namespace or PyUnicode_FindChar(text, 0x1E, start, stop, FORWARD) >= 0:
        raise DecodeError("illegal namespace")
    at[0] = end if comma < 0 else comma + 1
    return PyUnicode_Substring(text, start, stop)


cdef str tail(text, Py_ssize_t start):
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text) - start
    # Of one character there is one shared object each, which the other function hands out.
    if size < 2 or not PyUnicode_IS_ASCII(text):
        return PyUnicode_Substring(text, start, start + size)
    rest = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(rest), <const char*>PyUnicode_DATA(text) + start, size)
    return rest


# Encoding


cpdef tuple encode_packet(object type, object namespace, object data, object id):
    cdef int kind = <int>whole_number(type, CONNECT_ERROR)
    if kind < 0:
        raise LocalProtocolError("unknown packet type")
    cdef str fault = fault_to_send(kind, data)
    if fault is not None:
        raise LocalProtocolError(fault)
    cdef list attachments = []
    cdef bytes payload = b"" if data is None else dumps(data, attachments)
    cdef Py_ssize_t count = PyList_GET_SIZE(attachments)
    if count:
        if kind != EVENT and kind != ACK:
            raise LocalProtocolError("only events and acknowledgements carry binary data")
        if count_placeholders(payload) != count:
            raise LocalProtocolError("data beside attachments contains what looks like a placeholder")
    cdef str name = checked_namespace(namespace)
    cdef long long number = -1
    if id is not None:
        number = -1 if id is True or id is False else whole_number(id, MAX_ID)
        if number < 0:
            raise LocalProtocolError("an acknowledgement id is an integer from 0 to 2**53 - 1")
    elif kind == ACK:
        raise LocalProtocolError("an acknowledgement needs an id")
    return joined(kind + BINARY_OFFSET if count else kind, count, name, number, payload), attachments


cdef str fault_to_send(int kind, data):
    cdef bint legal
    if kind == EVENT:
        return fault_of_event(data, PY_SSIZE_T_MAX)
    if kind == ACK:
        legal = isinstance(data, (list, tuple))
    elif kind == CONNECT:
        legal = data is None or isinstance(data, dict)
    elif kind == DISCONNECT:
        legal = data is None
    else:
        legal = isinstance(data, (str, dict))
    return None if legal else "data of this type does not go with this type of packet"


cdef Py_ssize_t count_placeholders(bytes payload) except -1:
    cdef const char* start = PyBytes_AS_STRING(payload)
    cdef const char* end = start + PyBytes_GET_SIZE(payload)
    cdef const char* at = start
    cdef Py_ssize_t count = 0
    while True:
        # Its underscore, since quotes are everywhere.
        at = <const char*>memchr(at, c"_", end - at)
        if at == NULL:
            return count
        if (
            at > start
            and end - at >= PLACEHOLDER_KEY_SIZE - 1
            and memcmp(at - 1, PLACEHOLDER_KEY, PLACEHOLDER_KEY_SIZE) == 0
        ):
            count += 1
        at += 1


cdef str checked_namespace(namespace):
    """The namespace, or an empty string for the one that is not written."""
    if not isinstance(namespace, str):
        raise LocalProtocolError("a namespace is text that starts with '/', without ',' and U+001E")
    cdef str name = plain(namespace)
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(name)
    if size == 1 and PyUnicode_READ(PyUnicode_KIND(name), PyUnicode_DATA(name), 0) == c"/":
        return ""
    if (
        size == 0
        or PyUnicode_READ(PyUnicode_KIND(name), PyUnicode_DATA(name), 0) != c"/"
        or PyUnicode_FindChar(name, c",", 0, size, FORWARD) >= 0
        or PyUnicode_FindChar(name, 0x1E, 0, size, FORWARD) >= 0
    ):
        raise LocalProtocolError("a namespace is text that starts with '/', without ',' and U+001E")
    try:
        PyUnicode_AsUTF8AndSize(name, NULL)
    except UnicodeEncodeError:
        raise LocalProtocolError("a namespace has no lone surrogates") from None
    return name


cdef bytes joined(int kind, Py_ssize_t attachments, str namespace, long long id, bytes payload):
    """``namespace`` may be empty, and an ``id`` below 0 stands for none."""
    cdef Py_ssize_t name_size = 0
    cdef const char* name = PyUnicode_AsUTF8AndSize(namespace, &name_size)
    cdef Py_ssize_t size = 1 + PyBytes_GET_SIZE(payload)
    if attachments:
        size += digits(attachments) + 1
    if name_size:
        size += name_size + 1
    if id >= 0:
        size += digits(id)
    text = PyBytes_FromStringAndSize(NULL, size)
    cdef char* out = PyBytes_AS_STRING(text)
    out[0] = <char>(<int>c"0" + kind)
    out += 1
    if attachments:
        out = write_number(out, attachments)
        out[0] = c"-"
        out += 1
    if name_size:
        memcpy(out, name, name_size)
        out[name_size] = c","
        out += name_size + 1
    if id >= 0:
        out = write_number(out, id)
    memcpy(out, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    return text


cdef inline Py_ssize_t digits(unsigned long long number) noexcept nogil:
    cdef Py_ssize_t count = 1
    while number >= 10:
        number //= 10
        count += 1
    return count


cdef inline char* write_number(char* out, unsigned long long number) noexcept nogil:
    """Write it in decimal; returns the end."""
    cdef char* end = out + digits(number)
    cdef char* at = end
    while at != out:
        at -= 1
        at[0] = <char>(<int>c"0" + <int>(number % 10))
        number //= 10
    return end


# Both ways


cdef str fault_of_event(data, Py_ssize_t max_name):
    cdef object name
    if PyList_CheckExact(data) and PyList_GET_SIZE(data):
        name = <object>PyList_GET_ITEM(data, 0)
    elif PyTuple_CheckExact(data) and PyTuple_GET_SIZE(data):
        name = <object>PyTuple_GET_ITEM(data, 0)
    elif isinstance(data, (list, tuple)) and data:
        name = data[0]
    else:
        return "event without a name"
    if isinstance(name, str):
        if PyUnicode_GET_LENGTH(name) > max_name:
            return "event name is too long"
        return "event name is reserved" if is_reserved(plain(name)) else None
    cdef bint legal
    if isinstance(name, float):
        legal = isfinite(name)
    else:
        legal = isinstance(name, int) and not isinstance(name, bool)
    return None if legal else "event name is not text or a number"


cdef bint is_reserved(str name) except -1:
    # By length: that spares most names the hash which a set asks for.
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(name)
    if size == 7:
        return is_ascii_text(name, b"connect", size)
    if size == 10:
        return is_ascii_text(name, b"disconnect", size)
    if size == 11:
        return is_ascii_text(name, b"newListener", size)
    if size == 13:
        return is_ascii_text(name, b"connect_error", size) or is_ascii_text(name, b"disconnecting", size)
    if size == 14:
        return is_ascii_text(name, b"removeListener", size)
    return False


cdef inline bint is_ascii_text(str text, const char* other, Py_ssize_t size):
    """Whether ``text``, which has ``size`` characters, is ``other``."""
    return PyUnicode_IS_ASCII(text) and memcmp(PyUnicode_DATA(text), other, size) == 0


cdef inline str plain(text):
    """The text without what a subclass makes of it."""
    cdef str result = text if PyUnicode_CheckExact(text) else str.__str__(text)
    unicode_ready(result)
    return result


cdef inline long long whole_number(value, long long largest) except -2:
    """``value`` if it is an integer from 0 to ``largest``, else -1."""
    cdef int overflow = 0
    cdef long long number
    if not isinstance(value, int):
        return -1
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    return -1 if overflow or number < 0 or number > largest else number


# Attachments


@cython.final
@cython.freelist(8)
cdef class Reconstructor:
    def __init__(self, packet, limits):
        if type(packet) is not Packet:
            raise TypeError(f"a packet is a Packet, not {type(packet).__name__}")
        self.packet = packet
        self._buffers = []
        self._room = bounds_of(limits).payload

    cpdef bint add(self, object data) except -1:
        if not PyBytes_CheckExact(data):
            raise TypeError(f"an attachment is bytes, not {type(data).__name__}")
        cdef Packet packet = self.packet
        cdef Py_ssize_t due = packet.attachments
        if due == 0:
            raise DecodeError("unexpected attachment")
        self._room -= PyBytes_GET_SIZE(data)
        if self._room < 0:
            raise DecodeError("attachments are too large")
        self._buffers.append(data)
        packet.attachments = due - 1
        if due != 1:
            return False
        fill(packet.data, self._buffers)
        return True


cdef int fill(data, list buffers) except -1:
    cdef list pending = [data]
    while PyList_GET_SIZE(pending):
        container = pending.pop()
        if PyList_CheckExact(container):
            fill_list(container, buffers, pending)
        elif PyDict_CheckExact(container):
            fill_dict(container, buffers, pending)
    return 0


cdef int fill_list(items, list buffers, list pending) except -1:
    cdef Py_ssize_t index = 0
    while index < PyList_GET_SIZE(items):
        item = <object>PyList_GET_ITEM(items, index)
        if PyDict_CheckExact(item) or PyList_CheckExact(item):
            value = resolve(item, buffers, pending)
            if value is not item:
                Py_INCREF(value)
                PyList_SetItem(items, index, <PyObject*>value)
        index += 1
    return 0


cdef int fill_dict(members, list buffers, list pending) except -1:
    cdef Py_ssize_t position = 0
    cdef PyObject* key
    cdef PyObject* member
    while PyDict_Next(members, &position, &key, &member):
        item = <object>member
        if PyDict_CheckExact(item) or PyList_CheckExact(item):
            name = <object>key
            value = resolve(item, buffers, pending)
            if value is not item:
                # No key comes or goes, so the iteration may go on.
                PyDict_SetItem(members, name, value)
    return 0


cdef object resolve(item, list buffers, list pending):
    """The attachment if ``item`` is a placeholder, else ``item`` itself, into which is looked later."""
    cdef PyObject* found
    cdef Py_ssize_t index = -1
    if PyDict_CheckExact(item):
        found = PyDict_GetItemWithError(item, PLACEHOLDER)
        if found != NULL and <object>found is True:
            found = PyDict_GetItemWithError(item, NUM)
            if found != NULL and PyLong_CheckExact(<object>found):
                index = <Py_ssize_t>whole_number(<object>found, PyList_GET_SIZE(buffers) - 1)
            if index < 0:
                raise DecodeError("illegal placeholder")
            return <object>PyList_GET_ITEM(buffers, index)
    pending.append(item)
    return item
