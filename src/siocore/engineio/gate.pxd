cimport cython

from siocore.engineio.session cimport Session
from siocore.request cimport Request


@cython.locals(transport=str, sids=list, sid=str, session=Session)
cpdef check_request(Request request, bint upgrade, object options, dict sessions)

cdef str _lost_upgrade(bint upgrade)

@cython.locals(origins=list)
cpdef bint check_origin(Request request, object options) except -1

@cython.locals(values=list)
cpdef int revision_of(Request request) except -1
