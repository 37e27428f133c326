cimport cython

from siocore.engineio.client_interfaces cimport ClientCarrier, ClientSessionOwner
from siocore.engineio.client_session cimport ClientSession
from siocore.http.client_websocket cimport ClientWebSocket
from siocore.timers cimport Timer

cdef int _FRAME_TIMER, _CLOSE_TIMER, _SWITCHING_PROTOCOLS


cdef class ClientConnection(ClientCarrier):
    cdef bint _connected
    cdef bint _eof
    cdef object _http
    cdef object _key
    cdef object _options
    cdef list _output
    cdef Py_ssize_t _output_size
    cdef ClientSessionOwner _owner
    cdef object _request
    cdef ClientSession _session
    cdef Timer _timer
    cdef int _timer_kind
    cdef ClientWebSocket _websocket
    cdef public bint lost

    cpdef connected(self, double now)
    cpdef dial_failed(self, str reason, double now)
    @cython.locals(websocket=ClientWebSocket)
    cpdef receive_data(self, bytes data, double now)
    cpdef receive_eof(self, double now)
    cpdef connection_lost(self, double now)
    @cython.locals(output=list, session=ClientSession)
    cpdef bytes data_to_send(self)
    cpdef flushed(self, double now)
    @cython.locals(websocket=ClientWebSocket)
    cpdef send_message(self, bytes text, list attachments)
    @cython.locals(websocket=ClientWebSocket)
    cpdef send_text(self, bytes payload, bint compress)
    @cython.locals(websocket=ClientWebSocket)
    cpdef send_binary(self, bytes payload, bint compress)
    cdef _write(self, bytes frames)
    @cython.locals(messages=list, session=ClientSession)
    cdef _read_websocket(self, ClientWebSocket websocket, bytes data)
    cdef _touch(self)
