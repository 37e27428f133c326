"""A test of chat.py: two clients on virtual time, no socket and no event loop. Run it with pytest."""

from chat import io

from siocore.testing import TestClient, TestServer


def test_everybody_in_the_lobby_hears_what_one_says():
    with TestServer(io) as server:
        ann = TestClient(server)
        bob = TestClient(server, "polling")
        for client in (ann, bob):
            client.connect()
            assert client.receive().name == "welcome"
        assert ann.emit_with_ack("chat message", "hello") == "delivered"
        for client in (ann, bob):
            assert client.receive().args == [ann.id, "hello"]


def test_who_falls_silent_is_gone_after_the_ping_timeout():
    with TestServer(io) as server:
        ann = TestClient(server)
        ann.connect()
        for link in ann.engine.links:
            link.stall()
        server.advance(25 + 20)
        assert not io.local_sockets()
