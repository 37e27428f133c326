"""siocore for blocking code: ``with siocore.sync.connect("http://127.0.0.1:3000") as socket: ...``

The same core as on trio and asyncio, driven by the thread that calls, while it calls: there is no other thread.
"""

from siocore.sync._client import Client, connect, open_client
from siocore.sync._engine import Connection, connect_engine
from siocore.sync._manager import Manager
from siocore.sync._socket import Event, Operator, Socket

__all__ = ["Client", "Connection", "Event", "Manager", "Operator", "Socket", "connect", "connect_engine", "open_client"]
