cimport cython

from siocore._speedups._socketio cimport Packet as CPacket
from siocore._speedups._socketio cimport Reconstructor as CReconstructor
from siocore._speedups._socketio cimport decode_socket_packet, encode_packet
from siocore.driven cimport ServerEndpoint
from siocore.events cimport EventReceived
from siocore.link cimport Link
from siocore.socketio.namespace cimport Namespace
from siocore.socketio.socket cimport Socket
from siocore.timers cimport Timer

cdef int _CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR
cdef object _CONNECTED


@cython.final
cdef class Client:
    cdef Timer _attachment_timer
    cdef Timer _connect_timer
    cdef object _limits
    cdef object _directory
    cdef object _reader
    cdef CReconstructor _reconstructor
    cdef list _requests
    cdef list _sockets
    cdef public ServerEndpoint hub
    cdef public Link link

    @cython.locals(packet=CPacket)
    cpdef receive_text(self, str text, Py_ssize_t start)
    cpdef settle(self)
    cpdef receive_binary(self, bytes data)
    @cython.locals(socket=Socket, args=list)
    cdef _dispatch(self, CPacket packet)
    @cython.locals(socket=Socket)
    cdef Socket _socket_in(self, str name)
    @cython.locals(socket=Socket)
    cdef Socket _joined(self, str name)
    cdef _drop_reconstruction(self)
    cdef _join(self, Namespace namespace, object auth)
    cdef _leave(self, Namespace namespace)
    cdef _refuse_name(self, str name, str message)
    cdef bint _requested(self, str name)
