# cython: language_level=3
"""The compiled twin of siocore.steps: no bound methods, and no exception to carry a value."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object iter, object arg, PyObject** result) except PYGEN_ERROR
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

__all__ = ["call_in_copied_context", "first_step"]


cpdef tuple call_in_copied_context(function, argument):
    context = PyContext_CopyCurrent()
    PyContext_Enter(context)
    try:
        result = function(argument)
    finally:
        PyContext_Exit(context)
    return None if result is None else (context, result)


cpdef tuple first_step(coroutine):
    cdef PyObject* result = NULL
    cdef PySendResult outcome = PyIter_Send(coroutine, None, &result)
    value = <object>result
    Py_DECREF(value)
    return outcome == PYGEN_RETURN, value
