from siocore.cluster.broker cimport AddEntry

cdef class _Addition(AddEntry):
    cdef public object queue
    cdef public Py_ssize_t size
    cdef object _cluster
    cdef object _heard

    cpdef answered(self, object reply)
    cpdef failed(self, str reason, bint refused=*)
    cpdef settled(self, object identifier)


cdef Py_ssize_t _size(tuple fields) except -1
