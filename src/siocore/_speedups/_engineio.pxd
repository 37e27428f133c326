cimport cython

cpdef tuple decode_packet(object text)

@cython.locals(packets=list, parts=list, part=str)
cpdef tuple decode_payload(object body)

@cython.locals(kind=Py_UCS4)
cdef tuple _decode(str text)
