cimport cython

cdef object _OPTIONS, _orjson_dumps, _orjson_loads
cdef list _PLACEHOLDERS, _NO_ATTACHMENTS, _spare_extractors


@cython.final
cdef class _Extractor:
    cdef list attachments
    cdef object hook

    @cython.locals(number=Py_ssize_t)
    cpdef object extract(self, object value)


cpdef object loads(object text, object max_depth)
cpdef object parse(str text, Py_ssize_t max_depth)

@cython.locals(mark=Py_ssize_t, extractor=_Extractor)
cpdef bytes dumps(object value, object attachments)

cdef Py_ssize_t _extract(object data, list attachments) except -1
cdef dict _placeholder(Py_ssize_t number)
cdef object _simplify(object value)
cdef object _to_plain(object value, list attachments, int depth)
cdef object _to_key(object key)
cdef object _load_strictly(str text)

@cython.locals(level=list, containers=list)
cdef bint _deeper_than(object value, Py_ssize_t max_depth) except -1
