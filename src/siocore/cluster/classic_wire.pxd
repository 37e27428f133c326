from siocore.cluster.codec cimport decode, encode_json, encode_msgpack
