# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""The functions of siocore/codec/frames.py, over pointers. See there for what they promise."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    str PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)

__all__ = [
    "apply_mask",
    "binary_frame",
    "masked_binary_frame",
    "masked_message_frames",
    "masked_text_frame",
    "message_frames",
    "parse_frames",
    "parse_unmasked_frames",
    "text_frame",
]

cdef enum:
    TEXT = 0x81
    BINARY = 0x82
    MESSAGE = 0x34  # the packet type "4"

cdef uint64_t HIGH_BITS = 0x8080808080808080ULL


cpdef text_frame(payload):
    return single_frame(TEXT, payload)


cpdef binary_frame(payload):
    return single_frame(BINARY, payload)


cpdef message_frames(text, attachments):
    require_bytes(text)
    if not PyList_CheckExact(attachments):
        raise TypeError(f"attachments must be a list, not {type(attachments).__name__}")
    cdef list rest = attachments
    cdef Py_ssize_t count = PyList_GET_SIZE(rest)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(text) + 1
    cdef Py_ssize_t total = header_size(length) + length
    cdef Py_ssize_t i
    for i in range(count):
        require_bytes(<object>PyList_GET_ITEM(rest, i))
        length = PyBytes_GET_SIZE(<object>PyList_GET_ITEM(rest, i))
        total += header_size(length) + length
    result = PyBytes_FromStringAndSize(NULL, total)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    length = PyBytes_GET_SIZE(text)
    out = write_header(out, TEXT, length + 1)
    out[0] = b"4"
    memcpy(out + 1, PyBytes_AS_STRING(text), length)
    out += 1 + length
    for i in range(count):
        length = PyBytes_GET_SIZE(<object>PyList_GET_ITEM(rest, i))
        out = write_header(out, BINARY, length)
        memcpy(out, PyBytes_AS_STRING(<object>PyList_GET_ITEM(rest, i)), length)
        out += length
    return result


cpdef masked_text_frame(payload, key):
    return masked_frame(TEXT, payload, key)


cpdef masked_binary_frame(payload, key):
    return masked_frame(BINARY, payload, key)


cpdef masked_message_frames(text, attachments, keys):
    require_bytes(text)
    if not PyList_CheckExact(attachments):
        raise TypeError(f"attachments must be a list, not {type(attachments).__name__}")
    cdef list rest = attachments
    cdef Py_ssize_t count = PyList_GET_SIZE(rest)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(text) + 1
    cdef Py_ssize_t total = header_size(length) + 4 + length
    cdef Py_ssize_t i
    for i in range(count):
        require_bytes(<object>PyList_GET_ITEM(rest, i))
        length = PyBytes_GET_SIZE(<object>PyList_GET_ITEM(rest, i))
        total += header_size(length) + 4 + length
    require_keys(keys, 4 + 4 * count)
    cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(keys)
    result = PyBytes_FromStringAndSize(NULL, total)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    cdef uint8_t rotated[4]
    length = PyBytes_GET_SIZE(text)
    out = write_masked_header(out, TEXT, length + 1, key)
    # The packet type takes the first byte of the key: the text begins with the second one.
    out[0] = MESSAGE ^ key[0]
    for i in range(4):
        rotated[i] = key[(i + 1) & 3]
    unmask(out + 1, <const uint8_t*>PyBytes_AS_STRING(text), <uint64_t>length, load32(rotated))
    out += 1 + length
    for i in range(count):
        key += 4
        length = PyBytes_GET_SIZE(<object>PyList_GET_ITEM(rest, i))
        out = write_masked_header(out, BINARY, length, key)
        unmask(
            out, <const uint8_t*>PyBytes_AS_STRING(<object>PyList_GET_ITEM(rest, i)), <uint64_t>length, load32(key)
        )
        out += length
    return result


cpdef parse_frames(data, start, max_payload, out):
    cdef const uint8_t* base
    cdef Py_ssize_t end
    if PyBytes_CheckExact(data):
        base = <const uint8_t*>PyBytes_AS_STRING(data)
        end = PyBytes_GET_SIZE(data)
    elif PyByteArray_CheckExact(data):
        base = <const uint8_t*>PyByteArray_AS_STRING(data)
        end = PyByteArray_GET_SIZE(data)
    else:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    if not PyList_CheckExact(out):
        raise TypeError(f"out must be a list, not {type(out).__name__}")
    cdef list messages = out
    cdef Py_ssize_t position = size_of(start, "start")
    cdef uint64_t largest = <uint64_t>size_of(max_payload, "max_payload")
    cdef uint64_t length
    cdef const uint8_t* frame
    cdef const uint8_t* key
    # From here on nothing runs Python code of others, so `base` stays valid even for a bytearray.
    while end - position >= 6:
        frame = base + position
        if (frame[0] != TEXT and frame[0] != BINARY) or not frame[1] & 0x80:
            break
        length = frame[1] & 0x7F
        key = frame + 2
        if length == 126:
            length = (<uint64_t>frame[2] << 8) | frame[3]
            key = frame + 4
            if length <= 125:
                break
        elif length == 127:
            if end - position < 14:
                break
            length = big_endian(frame + 2)
            key = frame + 10
            if length <= 0xFFFF:
                break
        # Each subtraction is of something that was compared before: a declared length of 2**64 - 1 overflows nothing.
        if length > largest or end - (key - base) < 4 or length > <uint64_t>(end - (key - base) - 4):
            break
        if frame[0] == BINARY:
            payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
            unmask(<uint8_t*>PyBytes_AS_STRING(payload), key + 4, length, load32(key))
        else:
            payload = unmask_text(key + 4, length, load32(key))
            if payload is None:
                break
        messages.append(payload)
        position = (key - base) + 4 + <Py_ssize_t>length
    return position


cpdef parse_unmasked_frames(data, start, max_payload, out):
    cdef const uint8_t* base
    cdef Py_ssize_t end
    if PyBytes_CheckExact(data):
        base = <const uint8_t*>PyBytes_AS_STRING(data)
        end = PyBytes_GET_SIZE(data)
    elif PyByteArray_CheckExact(data):
        base = <const uint8_t*>PyByteArray_AS_STRING(data)
        end = PyByteArray_GET_SIZE(data)
    else:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    if not PyList_CheckExact(out):
        raise TypeError(f"out must be a list, not {type(out).__name__}")
    cdef list messages = out
    cdef Py_ssize_t position = size_of(start, "start")
    cdef uint64_t largest = <uint64_t>size_of(max_payload, "max_payload")
    cdef uint64_t length
    cdef const uint8_t* frame
    cdef const uint8_t* content
    # From here on nothing runs Python code of others, so `base` stays valid even for a bytearray.
    while end - position >= 2:
        frame = base + position
        if (frame[0] != TEXT and frame[0] != BINARY) or frame[1] & 0x80:
            break
        length = frame[1]
        content = frame + 2
        if length == 126:
            if end - position < 4:
                break
            length = (<uint64_t>frame[2] << 8) | frame[3]
            content = frame + 4
            if length <= 125:
                break
        elif length == 127:
            if end - position < 10:
                break
            length = big_endian(frame + 2)
            content = frame + 10
            if length <= 0xFFFF:
                break
        if length > largest or length > <uint64_t>(end - (content - base)):
            break
        if frame[0] == BINARY:
            payload = PyBytes_FromStringAndSize(<const char*>content, <Py_ssize_t>length)
        else:
            payload = decode(<const char*>content, <Py_ssize_t>length)
            if payload is None:
                break
        messages.append(payload)
        position = (content - base) + <Py_ssize_t>length
    return position


cpdef apply_mask(data, key, offset):
    cdef const uint8_t* source
    cdef Py_ssize_t size
    if PyBytes_CheckExact(data):
        source = <const uint8_t*>PyBytes_AS_STRING(data)
        size = PyBytes_GET_SIZE(data)
    elif PyByteArray_CheckExact(data):
        source = <const uint8_t*>PyByteArray_AS_STRING(data)
        size = PyByteArray_GET_SIZE(data)
    else:
        raise TypeError(f"data must be bytes or bytearray, not {type(data).__name__}")
    require_bytes(key)
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)}")
    cdef Py_ssize_t turn = size_of(offset, "offset") & 3
    cdef const uint8_t* given = <const uint8_t*>PyBytes_AS_STRING(key)
    cdef uint8_t rotated[4]
    cdef int i
    for i in range(4):
        rotated[i] = given[(turn + i) & 3]
    result = PyBytes_FromStringAndSize(NULL, size)
    unmask(<uint8_t*>PyBytes_AS_STRING(result), source, <uint64_t>size, load32(rotated))
    return result


cdef str unmask_text(const uint8_t* source, uint64_t length, uint32_t key):
    """The text, or ``None`` where it is not UTF-8."""
    cdef uint8_t single
    if length <= 1:
        # Through the decoder, which hands out the one shared object there is for each such string.
        single = (source[0] ^ <uint8_t>(<uint8_t*>&key)[0]) if length else 0
        return decode(<const char*>&single, <Py_ssize_t>length)
    # Nearly all text is ASCII, so unmask into a new ASCII string, and look back whether it was.
    text = PyUnicode_New(<Py_ssize_t>length, 127)
    cdef uint8_t* target = <uint8_t*>PyUnicode_DATA(text)
    if not unmask(target, source, length, key) & HIGH_BITS:
        return text
    return decode(<const char*>target, <Py_ssize_t>length)


cdef str decode(const char* data, Py_ssize_t length):
    try:
        return PyUnicode_DecodeUTF8(data, length, "strict")
    except UnicodeDecodeError:
        return None


cdef inline uint64_t unmask(uint8_t* target, const uint8_t* source, uint64_t length, uint32_t key) noexcept nogil:
    """XOR ``length`` bytes with the key; returns the OR of all bytes written, in any of its eight lanes."""
    cdef uint64_t wide = (<uint64_t>key << 32) | key
    cdef uint64_t seen = 0
    cdef uint64_t word
    cdef uint64_t i = 0
    while length - i >= 8:
        memcpy(&word, source + i, 8)
        word ^= wide
        seen |= word
        memcpy(target + i, &word, 8)
        i += 8
    if i < length:
        word = 0
        memcpy(&word, source + i, length - i)
        word ^= wide
        memcpy(target + i, &word, length - i)
        while i < length:
            seen |= target[i]
            i += 1
    return seen


cdef inline uint32_t load32(const uint8_t* source) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, source, 4)
    return word


cdef inline uint64_t big_endian(const uint8_t* source) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value = (value << 8) | source[i]
    return value


cdef bytes single_frame(uint8_t first, payload):
    require_bytes(payload)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    result = PyBytes_FromStringAndSize(NULL, header_size(length) + length)
    memcpy(
        write_header(<uint8_t*>PyBytes_AS_STRING(result), first, length),
        PyBytes_AS_STRING(payload),
        length,
    )
    return result


cdef bytes masked_frame(uint8_t first, payload, key):
    require_bytes(payload)
    require_keys(key, 4)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    cdef const uint8_t* mask = <const uint8_t*>PyBytes_AS_STRING(key)
    result = PyBytes_FromStringAndSize(NULL, header_size(length) + 4 + length)
    unmask(
        write_masked_header(<uint8_t*>PyBytes_AS_STRING(result), first, length, mask),
        <const uint8_t*>PyBytes_AS_STRING(payload),
        <uint64_t>length,
        load32(mask),
    )
    return result


cdef inline uint8_t* write_masked_header(
    uint8_t* out, uint8_t first, Py_ssize_t length, const uint8_t* key
) noexcept nogil:
    cdef uint8_t* end = write_header(out, first, length)
    out[1] |= 0x80
    memcpy(end, key, 4)
    return end + 4


cdef inline Py_ssize_t header_size(Py_ssize_t length) noexcept nogil:
    if length <= 125:
        return 2
    return 4 if length <= 0xFFFF else 10


cdef inline uint8_t* write_header(uint8_t* out, uint8_t first, Py_ssize_t length) noexcept nogil:
    cdef int shift
    out[0] = first
    if length <= 125:
        out[1] = <uint8_t>length
        return out + 2
    if length <= 0xFFFF:
        out[1] = 126
        out[2] = <uint8_t>(length >> 8)
        out[3] = <uint8_t>length
        return out + 4
    out[1] = 127
    for shift in range(8):
        out[2 + shift] = <uint8_t>(<uint64_t>length >> (56 - 8 * shift))
    return out + 10


cdef inline int require_bytes(value) except -1:
    if not PyBytes_CheckExact(value):
        raise TypeError(f"a payload must be bytes, not {type(value).__name__}")
    return 0


cdef inline int require_keys(keys, Py_ssize_t size) except -1:
    require_bytes(keys)
    if PyBytes_GET_SIZE(keys) != size:
        raise ValueError(f"each frame needs a masking key of 4 bytes: {size} bytes, not {len(keys)}")
    return 0


cdef Py_ssize_t size_of(value, str name) except -1:
    cdef Py_ssize_t size
    try:
        size = value
    except OverflowError:
        raise OverflowError(f"{name} is too large") from None
    if size < 0:
        raise ValueError(f"{name} must not be negative")
    return size
