# cython: language_level=3
"""The compiled twin of siocore.steps: the step without an exception to carry the value."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object iter, object arg, PyObject** result) except PYGEN_ERROR

__all__ = ["first_step"]


cpdef tuple first_step(coroutine):
    cdef PyObject* result = NULL
    cdef PySendResult outcome = PyIter_Send(coroutine, None, &result)
    value = <object>result
    Py_DECREF(value)
    return outcome == PYGEN_RETURN, value
