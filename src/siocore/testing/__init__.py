"""Tests of applications on virtual time: no socket, no event loop, no waiting.

.. code-block:: python

    from siocore.testing import TestClient, TestServer

    from chat import io                                # your siocore.Server, with its handlers


    def test_a_message_reaches_the_others_in_the_room():
        with TestServer(io) as server:
            ann = TestClient(server)                   # over WebSocket; "polling" and "upgrade" are the other ways
            bob = TestClient(server, "polling")
            ann.connect(auth={"name": "ann"})          # raises ConnectionRefused if a middleware refuses
            bob.connect(auth={"name": "bob"})
            ann.emit_with_ack("join", "lobby")         # returns what the handler returned
            bob.emit_with_ack("join", "lobby")
            ann.emit("say", "lobby", "hello")
            assert bob.receive().args == ["ann", "hello"]


    def test_a_client_that_falls_silent_is_gone_after_the_ping_timeout():
        with TestServer(io) as server:
            ann = TestClient(server)
            ann.connect()
            for link in ann.engine.links:
                link.stall()                           # the network: stall, cut, delay, tiny segments, a small window
            server.advance(25 + 20)                    # virtual seconds: this takes no time
            assert not io.local_sockets()

An application can be given to one server after another, not to two at once. A fresh :class:`siocore.Server` for each
test (a fixture, or a function that makes it) keeps tests apart.
"""

from siocore.testing.app_client import AppClient, Dial
from siocore.testing.client import ReceivedEvent, TestClient
from siocore.testing.clock import ManualClock
from siocore.testing.engine_client import EngineClient
from siocore.testing.model_redis import ModelRedis
from siocore.testing.network import Link, Network, Pipe, Stream
from siocore.testing.scripted import ScriptedServer
from siocore.testing.server import TestServer
from siocore.testing.simulation import Simulation
from siocore.testing.waiter import VirtualWaiter

__all__ = [
    "AppClient",
    "Dial",
    "EngineClient",
    "Link",
    "ManualClock",
    "ModelRedis",
    "Network",
    "Pipe",
    "ReceivedEvent",
    "ScriptedServer",
    "Simulation",
    "Stream",
    "TestClient",
    "TestServer",
    "VirtualWaiter",
]
