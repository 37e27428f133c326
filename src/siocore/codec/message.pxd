from siocore._speedups._frames cimport binary_frame, message_frames, text_frame


cdef class Outgoing:
    cdef public Py_ssize_t size
    cdef public bint compress
    cdef bytes _frames
    cdef bytes _payload

    cpdef bytes frames(self)
    cpdef bytes payload(self)
    cpdef bytes base64_frames(self)
    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)


cdef class TextMessage(Outgoing):
    cdef public bytes text
    cdef public list attachments

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)


cdef class BinaryMessage(Outgoing):
    cdef public bytes data

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)


cdef class ControlPacket(Outgoing):
    cdef public bytes packet

    cpdef bytes _make_frames(self)
    cpdef bytes _make_payload(self)
