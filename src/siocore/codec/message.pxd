from siocore._speedups._frames cimport binary_frame, message_frames, text_frame

cdef int _FRAMES, _BASE64_FRAMES, _TEXT_PAYLOAD, _ASCII_PAYLOAD, _BINARY_PAYLOAD


cdef class Outgoing:
    cdef public Py_ssize_t size
    cdef public bint compress
    cdef public int when_full
    cdef public bint droppable
    cdef public list delayed
    cdef bytes _frames
    cdef bytes _payload
    cdef dict _revision3
    cdef dict _deflated

    cpdef bytes frames(self)
    cpdef bytes payload(self)
    cpdef bytes base64_frames(self)
    cpdef bytes revision3_frames(self, bint base64)
    cpdef bytes revision3_payload(self, bint binary, bint json)
    cdef bytes _form3(self, int form)
    cpdef bytes deflated(self, bytes frames, object deflate)
    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)
    cpdef bytes _make_form3(self, int form)


cdef class TextMessage(Outgoing):
    cdef public bytes text
    cdef public list attachments

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)
    cpdef bytes _make_form3(self, int form)


cdef class BinaryMessage(Outgoing):
    cdef public bytes data

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)
    cpdef bytes _make_form3(self, int form)


cdef class ControlPacket(Outgoing):
    cdef public bytes packet

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)
    cpdef bytes _make_form3(self, int form)
