from siocore.cluster.codec cimport encode_json
from siocore.codec.message cimport Outgoing
from siocore.socketio.names cimport check_event_name
from siocore.socketio.namespace cimport Namespace

cdef int _EVENT

cpdef deliver_event(object adapter, Namespace namespace, list data, object selection, object ack=*)
