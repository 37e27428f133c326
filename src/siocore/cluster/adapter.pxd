from siocore.cluster.delivery cimport deliver_event
from siocore.cluster.messages cimport read_options, read_packet, read_rooms

cdef int _EVENT
cdef dict _HANDLERS
