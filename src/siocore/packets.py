"""The packet types of both protocols, and the Socket.IO packet. Never compiled, so that both builds share them."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EnginePacketType", "SocketPacketType"]


class EnginePacketType(IntEnum):
    """Engine.IO packet types (Engine.IO protocol, "Packet encoding")."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


class SocketPacketType(IntEnum):
    """Socket.IO packet types (Socket.IO protocol, "Packet types")."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6
