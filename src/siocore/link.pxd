cdef class Link:
    cdef public object _held
    cdef public object client
    cdef public list drain_waiters
    cdef public bint paused
    cdef public int revision
    cdef public object request
    cdef public int running

    cpdef send_text(self, bytes text, list attachments)
    cpdef send_outgoing(self, object message)
    cpdef pause(self)
    cpdef resume(self)
    cpdef hold(self, object event)
    cpdef next_held(self)


cdef class ClientLink(Link):
    cpdef abandon(self)


cdef class LinkUser:
    cpdef link_opened(self, ClientLink link)
    cpdef link_text(self, ClientLink link, str text, Py_ssize_t start)
    cpdef link_binary(self, ClientLink link, bytes data)
