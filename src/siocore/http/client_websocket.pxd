cimport cython

from siocore._speedups._frames cimport (
    apply_mask,
    binary_frame,
    masked_binary_frame,
    masked_message_frames,
    masked_text_frame,
    message_frames,
    parse_unmasked_frames,
    text_frame,
)
from siocore.http.websocket cimport WebSocketConnection


cdef int _BLOCK


cdef class ClientWebSocket(WebSocketConnection):
    cdef object _random_bytes
    cdef bytes _keys
    cdef Py_ssize_t _keys_at
    cdef public str close_reason

    @cython.locals(position=Py_ssize_t, messages=list)
    cpdef list receive_data(self, bytes data)
    cpdef Py_ssize_t _parse_common(self, source, Py_ssize_t start, list messages) except -1
    cpdef bytes frames(self, bytes text, list attachments, bint compress=*)
    cpdef bytes text_frame(self, bytes payload, bint compress=*)
    cpdef bytes binary_frame(self, bytes payload, bint compress=*)

    @cython.locals(at=Py_ssize_t)
    cdef bytes _take_keys(self, Py_ssize_t size)
