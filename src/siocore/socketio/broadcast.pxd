from siocore.socketio.names cimport check_event_name

cdef int _EVENT


cdef class BroadcastOperator:
    cdef object _namespace
    cdef object _selection
    cdef double _timeout
