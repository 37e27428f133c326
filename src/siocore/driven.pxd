cimport cython

from siocore.timers cimport TimerQueue

cdef Py_ssize_t _MAX_TAKEN


cdef class DrivenConnection:
    cdef public object transport
    cdef public Py_ssize_t unsent
    cdef public bint wants_read
    cdef public bint closing
    cdef public bint closed
    cdef public bint aborted
    cdef public bint queued

    cpdef receive_data(self, bytes data, double now)
    cpdef receive_eof(self, double now)
    cpdef connection_lost(self, double now)
    cpdef bytes data_to_send(self)
    cpdef flushed(self, double now)


cdef class DialledConnection(DrivenConnection):
    cdef public object target

    cpdef connected(self, double now)
    cpdef dial_failed(self, str reason, double now)


cdef class DrivenEndpoint:
    cdef public TimerQueue timers
    cdef public object clock
    cdef public object wake
    cdef public object make_waiter
    cdef public double latest
    cdef list _events
    cdef Py_ssize_t _taken
    cdef public list _ready
    cdef list _settlers

    cpdef next_deadline(self)
    cpdef handle_timeout(self, double now)
    @cython.locals(events=list, taken=Py_ssize_t)
    cpdef next_event(self)
    @cython.locals(connection=DrivenConnection)
    cpdef list take_ready(self)
    cpdef shutdown(self, double now)
    cpdef abort(self, double now)
    cpdef connection_ready(self, DrivenConnection connection)
    cpdef push_event(self, object event)
    cpdef push_received(self, object event)
    cpdef settle_later(self, object settler)
    cpdef new_waiter(self)


cdef class ServerEndpoint(DrivenEndpoint):
    cdef public object options

    cpdef DrivenConnection connection_made(self, object peer, double now, bint secure=*)


cdef class ClientEndpoint(DrivenEndpoint):
    cdef public object elapsed_clock
    cdef list _dials

    cpdef dial(self, DialledConnection connection)
    cpdef list take_dials(self)
