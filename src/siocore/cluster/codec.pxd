cimport cython

from siocore._speedups._json cimport dumps, loads

cdef int _QUICK_DEPTH
cdef object _orjson_loads

cpdef bytes encode(object value)
cpdef bytes encode_json(object value)
cpdef bytes encode_msgpack(object value)
cpdef object decode(bytes data)
cpdef object decode_json(bytes data)
cpdef object decode_msgpack(bytes data)

@cython.locals(items=object, members=object)
cdef bint _is_plain(object value, int depth) except -1
