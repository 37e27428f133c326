from siocore.cluster.broker cimport CountSubscribers, ListChannels, Publish
from siocore.cluster.codec cimport decode, encode, encode_json
from siocore.cluster.messages cimport array_of, json_options

cdef Py_ssize_t _ID_LENGTH

cdef bint _looks_like_an_id(str room) except -1
