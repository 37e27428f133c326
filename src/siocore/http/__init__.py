"""HTTP/1.1 and WebSocket for one TCP connection, sans-I/O, over h11 and wsproto."""

from siocore.http.connection import HttpConnection
from siocore.http.events import BodyReceived, HttpState, RequestReceived
from siocore.http.handshake import check_websocket_request
from siocore.http.websocket import WebSocketConnection

__all__ = [
    "BodyReceived",
    "HttpConnection",
    "HttpState",
    "RequestReceived",
    "WebSocketConnection",
    "check_websocket_request",
]
