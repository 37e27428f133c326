"""Every exception that siocore raises.

A peer never makes siocore raise: its faults become an answer on the wire and an event with a reason. What is raised
here is raised to the application (:exc:`LocalProtocolError`, :exc:`AckTimeout`, :exc:`Disconnected`, and to clients
:exc:`ConnectError` and :exc:`BufferFull`), raised by the
application (:exc:`ConnectionRefused`, :exc:`RequestRefused`), or raised by a codec and caught by the machine that
called it (:exc:`DecodeError`).

This module is never compiled: a class defined in a compiled module would be a second class of the same name.
"""

from __future__ import annotations

__all__ = [
    "AckTimeout",
    "BufferFull",
    "ConnectError",
    "ConnectionRefused",
    "DecodeError",
    "Disconnected",
    "LifespanError",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestRefused",
    "SiocoreError",
]


class SiocoreError(Exception):
    """The base of everything below."""


class ProtocolError(SiocoreError):
    """The rules of a protocol were broken, by us or by the peer."""


class LocalProtocolError(ProtocolError):
    """The application asked for something that the protocol does not allow. The state is unchanged."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. Never escapes from ``receive_data``."""


class DecodeError(RemoteProtocolError):
    """Bytes or text from the peer are not a valid packet."""


class ConnectionRefused(SiocoreError):
    """Raised by a middleware to refuse a client: it receives CONNECT_ERROR with this message and data.

    ``data`` (any JSON value) reaches the JavaScript client as ``err.data``.
    """

    def __init__(self, message: str = "connection refused", data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class RequestRefused(SiocoreError):
    """Raised by ``allow_request`` to refuse a handshake: the client receives the message with error code 4.

    ``status`` (400 to 599) is the HTTP status over long-polling. A WebSocket handshake is always answered 400.
    """

    def __init__(self, message: str = "Forbidden", *, status: int = 403) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"the status of a refusal is 400 to 599, not {status!r}")
        super().__init__(message)
        self.message = message
        self.status = status


class AckTimeout(SiocoreError, TimeoutError):
    """No acknowledgement came in time.

    ``responses`` holds what did arrive, in order of arrival: always empty for a single socket, possibly not for a
    broadcast. ``missing`` names the servers of a cluster that did not answer.
    """

    def __init__(
        self,
        message: str = "operation has timed out",
        responses: list[object] | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.responses: list[object] = responses if responses is not None else []
        self.missing = missing


class Disconnected(SiocoreError):
    """The peer went away before it acknowledged."""


class ConnectError(SiocoreError, ConnectionError):
    """A client could not connect.

    The server's refusal of a namespace (``transport`` is False) has its message, and in ``data`` what the server said
    more. Anything else (``transport`` is True) has a sentence that says what failed, and in ``status`` the HTTP status
    if there was one.
    """

    def __init__(
        self, message: str, data: object = None, *, transport: bool = False, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.transport = transport
        self.status = status


class BufferFull(SiocoreError):
    """A client has so much to send that nothing more is kept (``Limits.max_buffered``): the event was not taken."""


class LifespanError(SiocoreError):
    """A hosted ASGI application has said that it can't start; the message is what it said."""
