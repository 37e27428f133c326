"""siocore: Socket.IO for Python.

A sans-I/O protocol core with Cython fast paths, and thin trio and asyncio bindings (``siocore.trio``,
``siocore.asyncio``).
"""

from siocore._speedups import IMPLEMENTATION, Packet
from siocore._version import __version__
from siocore.application import EngineServer, Server
from siocore.application.client import Client
from siocore.application.engine_client import EngineClient, EngineConnection
from siocore.browsers import Cookie, Cors
from siocore.client_events import ClientEvent
from siocore.client_options import CLIENT_LIMITS, ClientOptions, CookieStore, EngineClientOptions
from siocore.codec.msgpack_parser import MsgpackParser
from siocore.codec.parser import Decoder, Parser
from siocore.endpoint.client import ClientProtocol
from siocore.endpoint.connection import Connection
from siocore.endpoint.engine import EngineServerProtocol
from siocore.endpoint.engine_client import EngineClientProtocol
from siocore.endpoint.server import ServerProtocol
from siocore.engineio.client_session import ClientSession
from siocore.engineio.session import Session
from siocore.errors import (
    AckTimeout,
    BufferFull,
    ConnectError,
    ConnectionRefused,
    DecodeError,
    Disconnected,
    LifespanError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RequestRefused,
    SiocoreError,
)
from siocore.events import Outage
from siocore.options import HttpCompression, Limits, PerMessageDeflate, Recovery, ServerOptions, WebTransport, Worker
from siocore.overflow import Delayed, SlowConsumer
from siocore.request import Headers, Request
from siocore.socketio.adapter import Adapter, MemoryAdapter, Selection, SocketList
from siocore.socketio.broadcast import BroadcastOperator
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.manager import Manager
from siocore.socketio.namespace import Namespace
from siocore.socketio.parent import ParentNamespace
from siocore.socketio.remote import RemoteSocket
from siocore.socketio.socket import Handshake, Socket

__all__ = [
    "CLIENT_LIMITS",
    "IMPLEMENTATION",
    "AckTimeout",
    "Adapter",
    "BroadcastOperator",
    "BufferFull",
    "Client",
    "ClientEvent",
    "ClientOptions",
    "ClientProtocol",
    "ClientSession",
    "ClientSocket",
    "ConnectError",
    "Connection",
    "ConnectionRefused",
    "Cookie",
    "CookieStore",
    "Cors",
    "DecodeError",
    "Decoder",
    "Delayed",
    "Disconnected",
    "EngineClient",
    "EngineClientOptions",
    "EngineClientProtocol",
    "EngineConnection",
    "EngineServer",
    "EngineServerProtocol",
    "Handshake",
    "Headers",
    "HttpCompression",
    "LifespanError",
    "Limits",
    "LocalProtocolError",
    "Manager",
    "MemoryAdapter",
    "MsgpackParser",
    "Namespace",
    "Outage",
    "Packet",
    "ParentNamespace",
    "Parser",
    "PerMessageDeflate",
    "ProtocolError",
    "Recovery",
    "RemoteProtocolError",
    "RemoteSocket",
    "Request",
    "RequestRefused",
    "Selection",
    "Server",
    "ServerOptions",
    "ServerProtocol",
    "Session",
    "SiocoreError",
    "SlowConsumer",
    "Socket",
    "SocketList",
    "WebTransport",
    "Worker",
    "__version__",
]
