from siocore.cluster.broker cimport Publish
from siocore.cluster.codec cimport decode_msgpack, encode_msgpack
from siocore.cluster.delivery cimport deliver_event
from siocore.cluster.messages cimport msgpack_options, read_options, read_packet, read_rooms

cdef int _EVENT
