from siocore.cluster.codec cimport decode_json, decode_msgpack

cpdef dict read_entry(dict fields)
