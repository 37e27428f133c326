from siocore.socketio.listeners cimport Listeners


cdef class Listening:
    cdef public Listeners registered
