from siocore.cluster.broker cimport CountSubscribers, ListChannels, Publish
from siocore.cluster.codec cimport decode_msgpack, encode_json, encode_msgpack
from siocore.cluster.messages cimport array_of, json_options
from siocore.cluster.streams_wire cimport read_entry
