cimport cython


@cython.final
cdef class _Extractor:
    cdef public list attachments


cpdef object loads(object text, object max_depth)

@cython.locals(mark=Py_ssize_t, extractor=_Extractor)
cpdef bytes dumps(object value, object attachments)

cdef dict _extract(object data, list attachments)
cdef object _simplify(object value)
cdef object _to_plain(object value, list attachments, int depth)
cdef object _to_key(object key)
cdef object _load_strictly(str text)

@cython.locals(level=list, containers=list)
cdef bint _deeper_than(object value, object max_depth) except -1
