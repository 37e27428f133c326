cimport cython

from siocore.codec.message cimport Outgoing
from siocore.endpoint.interfaces cimport ConnectionOwner, ServerConnection
from siocore.engineio.session cimport Session
from siocore.http.connection cimport HttpConnection
from siocore.http.events cimport BodyReceived, RequestReceived
from siocore.http.websocket cimport WebSocketConnection
from siocore.request cimport Request
from siocore.timers cimport Timer

cdef int _HEAD_TIMER, _BODY_TIMER, _KEEP_ALIVE_TIMER, _FRAME_TIMER, _CLOSE_TIMER, _EXCHANGE_TIMER
cdef object _HEAD_WAIT, _HEAD, _BODY, _ANSWERING
cdef tuple _PLAIN


cdef class Connection(ServerConnection):
    cdef Session _answered_poll
    cdef object _body_reader
    cdef object _exchange
    cdef Session _get_session
    cdef HttpConnection _http
    cdef public list _output
    cdef Py_ssize_t _output_size
    cdef ConnectionOwner _owner
    cdef Session _poll_session
    cdef Session _post_session
    cdef bint _progressing
    cdef Request _request
    cdef Timer _timer
    cdef int _timer_kind
    cdef bytes _trailing
    cdef WebSocketConnection _websocket
    cdef public bint lost
    cdef public Session session

    cpdef receive_data(self, bytes data, double now)
    cpdef receive_eof(self, double now)
    cpdef connection_lost(self, double now)
    cpdef bytes data_to_send(self)
    cpdef flushed(self, double now)
    cpdef respond(self, int status, tuple headers, bytes body=*, bint close=*)
    cpdef expect_body(self, object reader)
    cpdef expect_poll(self, Session session)
    cpdef expect_post(self, Session session)
    cpdef bint accept_websocket(self, Session session, tuple headers=*) except -1
    cpdef receive_trailing(self)
    cpdef reject_upgrade(self, str message)
    cdef _body_received(self, bytes body)
    cpdef bint write(self, bytes frames) except -1
    cpdef bytes deflated(self, Outgoing message, bytes frames)
    cpdef close_websocket(self, int code, str reason=*)
    cpdef pause(self)
    cpdef resume(self)
    cdef _http_progress(self)
    cdef _take_http_output(self)
    cdef _read_websocket(self, WebSocketConnection websocket, bytes data)
    cdef _websocket_stirred(self, WebSocketConnection websocket, bint completed)
    cdef _take_websocket_output(self, WebSocketConnection websocket)
    cdef _settle_websocket(self, WebSocketConnection websocket)
    cdef _arm(self, int kind, double delay)
    cdef _cancel_timer(self)
    cdef _close(self)
    cdef _touch(self)
