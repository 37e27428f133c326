from siocore.engineio.client_heartbeat cimport ClientHeartbeat
from siocore.engineio.client_interfaces cimport ClientCarrier
from siocore.timers cimport Timer

cdef object _OPENING, _OPEN, _CLOSING, _CLOSED, _WEBSOCKET, _SWITCHING


cdef class ClientSession(ClientHeartbeat):
    cdef object __weakref__
    cdef public ClientCarrier _candidate
    cdef public object _farewell
    cdef public object _opening
    cdef public Timer _upgrade_timer

    cpdef pause(self)
    cpdef resume(self)
    cpdef abandon(self)
    cpdef websocket_message(self, ClientCarrier carrier, object data)
