from siocore.cluster.codec cimport encode_json, encode_msgpack
from siocore.codec.message cimport Outgoing, TextMessage

cdef object _EVERYBODY_HERE

cpdef bytes json_options(object selection)
cpdef bytes msgpack_options(object selection)
cpdef object read_options(object value)
cpdef list read_rooms(object value)
cpdef list read_packet(object value)
cpdef bytes array_of(Outgoing message)
