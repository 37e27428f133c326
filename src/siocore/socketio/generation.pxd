cimport cython

from siocore._speedups._socketio cimport Packet as CPacket
from siocore._speedups._socketio cimport Reconstructor as CReconstructor
from siocore._speedups._socketio cimport decode_socket_packet
from siocore.client_events cimport ClientEvent
from siocore.driven cimport ClientEndpoint
from siocore.link cimport ClientLink, LinkUser
from siocore.socketio.client_member cimport Member
from siocore.socketio.client_socket cimport ClientSocket
from siocore.timers cimport Timer

cdef int _CONNECT, _DISCONNECT, _EVENT, _ACK
cdef object _CONNECTED


cdef class Generation(LinkUser):
    cdef public ClientLink link
    cdef public Py_ssize_t number
    cdef public bint over
    cdef public bint root_entered
    cdef public bint root_implied
    cdef object _manager
    cdef ClientEndpoint _hub
    cdef dict _sockets
    cdef object _limits
    cdef object _reader
    cdef public CReconstructor _reconstructor
    cdef Timer _attachment_timer
    cdef Py_ssize_t _size

    cpdef link_opened(self, ClientLink link)
    @cython.locals(packet=CPacket)
    cpdef link_text(self, ClientLink link, str text, Py_ssize_t start)
    @cython.locals(reconstructor=CReconstructor)
    cpdef link_binary(self, ClientLink link, bytes data)
    @cython.locals(socket=ClientSocket, kind=int, args=list, event=ClientEvent)
    cdef _dispatch(self, CPacket packet, Py_ssize_t size)
