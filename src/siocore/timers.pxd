cimport cython


@cython.final
@cython.freelist(256)
cdef class Timer:
    cdef public double deadline
    cdef public long long sequence
    cdef public object owner
    cdef public int kind
    cdef public double slack


@cython.final
cdef class TimerQueue:
    cdef public list _heap
    cdef long long _sequence
    cdef Py_ssize_t _garbage

    @cython.locals(timer=Timer)
    cpdef Timer arm(self, double deadline, object owner, int kind, double slack=*)
    cpdef cancel(self, Timer timer)
    @cython.locals(first=Timer)
    cpdef next_deadline(self)
    @cython.locals(timer=Timer, expired=bint)
    cpdef expire(self, double now)
