cdef class Listeners:
    cdef object _names
    cdef public tuple any
    cdef public tuple any_outgoing
    cdef public dict events
    cdef public dict lifecycle
    cdef public tuple middlewares
    cdef public dict server_side


cdef class Once:
    cdef bint _called
    cdef object _name
    cdef object _place
    cdef public object handler
