cimport cython

from siocore._speedups._steps cimport first_step
from siocore.client_events cimport ClientEvent
from siocore.socketio.listeners cimport Listeners


cdef class ClientDispatcher:
    cdef object _calls

    cpdef dispatch(self, object event)
    @cython.locals(
        registered=Listeners, handlers=tuple, ended=bint,
    )
    cdef _event(self, ClientEvent event)
