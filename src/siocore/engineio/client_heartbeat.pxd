from siocore.engineio.client_outbound cimport ClientOutbound
from siocore.timers cimport Timer


cdef class ClientHeartbeat(ClientOutbound):
    cdef public double _due
    cdef public object _heartbeat
    cdef public Timer _timer
