"""What the Engine.IO and Socket.IO protocols' own test suites check, on both bindings, from independent clients.

The clients are the standard library's http.client and the package websockets.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from peers.harness import LOOPS, ServerProcess, serve

TIMEOUT = 5.0


class Peer:
    """Talks to one server; ``path`` is where its Engine.IO requests go."""

    def __init__(self, server: ServerProcess, path: str) -> None:
        self.port = server.port
        self.path = path

    def target(self, query: str) -> str:
        return f"{self.path}?{query}"

    def start(self, method: str, query: str, body: str | None = None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.request(method, self.target(query), None if body is None else body.encode())
        return connection

    def finish(self, connection: http.client.HTTPConnection) -> tuple[int, str]:
        with closing(connection):
            response = connection.getresponse()
            return response.status, response.read().decode()

    def request(self, method: str, query: str, body: str | None = None) -> tuple[int, str]:
        return self.finish(self.start(method, query, body))

    def open_polling(self) -> str:
        status, body = self.request("GET", "EIO=4&transport=polling")
        assert status == 200
        assert body[0] == "0"
        sid = json.loads(body[1:])["sid"]
        assert isinstance(sid, str)
        return sid

    def poll(self, sid: str) -> tuple[int, str]:
        return self.request("GET", f"EIO=4&transport=polling&sid={sid}")

    def post(self, sid: str, body: str) -> tuple[int, str]:
        return self.request("POST", f"EIO=4&transport=polling&sid={sid}", body)

    def websocket(self, query: str = "EIO=4&transport=websocket") -> ClientConnection:
        url = f"ws://127.0.0.1:{self.port}{self.target(query)}"
        return connect(
            url, compression=None, proxy=None, ping_interval=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT
        )


def receive(socket: ClientConnection) -> str | bytes:
    return socket.recv(timeout=TIMEOUT)


def receive_message(socket: ClientConnection) -> str | bytes:
    """The next packet that is not a PING."""
    while (packet := receive(socket)) == "2":
        socket.send("3")
    return packet


def wait_until_closed(socket: ClientConnection) -> None:
    try:
        while True:
            receive(socket)
    except ConnectionClosed:
        pass


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture(scope="module")
def engine(loop: str) -> Iterator[Peer]:
    with serve("serve", "suite_app:engine", "--loop", loop) as server:
        yield Peer(server, "/engine.io/")


@pytest.fixture(scope="module")
def sockets(loop: str) -> Iterator[Peer]:
    with serve("serve", "suite_app:io", "--loop", loop) as server:
        yield Peer(server, "/socket.io/")


@pytest.fixture(params=["engine", "sockets"])
def peer(request: pytest.FixtureRequest, engine: Peer, sockets: Peer) -> Peer:
    """Engine.IO alone, and Engine.IO under Socket.IO."""
    return engine if request.param == "engine" else sockets


@pytest.fixture(params=[("patient_engine", "/engine.io/"), ("patient_io", "/socket.io/")], ids=["engine", "sockets"])
def patient_peer(request: pytest.FixtureRequest, loop: str) -> Iterator[Peer]:
    app, path = request.param
    with serve("serve", f"suite_app:{app}", "--loop", loop) as server:
        yield Peer(server, path)


class TestHandshake:
    def test_polling_opens_a_session_that_offers_the_upgrade(self, peer: Peer) -> None:
        status, body = peer.request("GET", "EIO=4&transport=polling")
        assert (status, body[0]) == (200, "0")
        opened = json.loads(body[1:])
        assert isinstance(opened.pop("sid"), str)
        assert opened == {"upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}

    def test_websocket_opens_a_session_without_upgrades(self, peer: Peer) -> None:
        with peer.websocket() as socket:
            packet = receive(socket)
        assert isinstance(packet, str)
        assert packet[0] == "0"
        opened = json.loads(packet[1:])
        assert isinstance(opened.pop("sid"), str)
        assert opened == {"upgrades": [], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}

    @pytest.mark.parametrize(
        "query", ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"]
    )
    def test_a_bad_query_is_answered_400(self, peer: Peer, query: str) -> None:
        assert peer.request("GET", query)[0] == 400

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_a_handshake_by_another_method_than_get_is_answered_400(self, peer: Peer, method: str) -> None:
        assert peer.request(method, "EIO=4&transport=polling")[0] == 400

    @pytest.mark.parametrize(
        "query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]
    )
    def test_a_websocket_with_a_bad_query_is_refused_before_it_opens(self, peer: Peer, query: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            peer.websocket(query)
        assert refused.value.response.status_code == 400


class TestMessages:
    @pytest.mark.parametrize("payload", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="])
    def test_a_polling_payload_comes_back(self, engine: Peer, payload: str) -> None:
        sid = engine.open_polling()
        assert engine.post(sid, payload) == (200, "ok")
        assert engine.poll(sid) == (200, payload)

    def test_an_invalid_polling_packet_closes_the_session(self, engine: Peer) -> None:
        sid = engine.open_polling()
        assert engine.post(sid, "abc")[0] == 400
        assert engine.poll(sid)[0] == 400

    def test_a_second_poll_while_one_is_parked_closes_the_session(self, engine: Peer) -> None:
        sid = engine.open_polling()
        query = f"EIO=4&transport=polling&sid={sid}"
        first = engine.start("GET", query)
        second = engine.start("GET", query + "&t=second")
        assert engine.finish(second)[0] == 400
        assert engine.finish(first) == (200, "1")
        assert engine.poll(sid)[0] == 400

    @pytest.mark.parametrize("message", ["4hello", b"\x01\x02\x03\x04"])
    def test_a_websocket_message_comes_back(self, engine: Peer, message: str | bytes) -> None:
        with engine.websocket() as socket:
            receive(socket)
            socket.send(message)
            assert receive_message(socket) == message

    def test_an_invalid_websocket_packet_closes_the_session(self, engine: Peer) -> None:
        with engine.websocket() as socket:
            receive(socket)
            socket.send("abc")
            wait_until_closed(socket)


class TestHeartbeat:
    def test_polling_clients_are_pinged(self, patient_peer: Peer) -> None:
        sid = patient_peer.open_polling()
        for _ in range(3):
            assert patient_peer.poll(sid) == (200, "2")
            assert patient_peer.post(sid, "3") == (200, "ok")

    def test_a_polling_client_that_does_not_answer_is_closed(self, peer: Peer) -> None:
        sid = peer.open_polling()
        assert peer.poll(sid) == (200, "2")
        # This request is parked until the ping times out.
        peer.poll(sid)
        assert peer.poll(sid)[0] == 400

    def test_websocket_clients_are_pinged(self, patient_peer: Peer) -> None:
        with patient_peer.websocket() as socket:
            receive(socket)
            for _ in range(3):
                assert receive(socket) == "2"
                socket.send("3")

    def test_a_websocket_client_that_does_not_answer_is_closed(self, peer: Peer) -> None:
        with peer.websocket() as socket:
            wait_until_closed(socket)


class TestClose:
    def test_a_polling_client_closes_its_session(self, peer: Peer) -> None:
        sid = peer.open_polling()
        parked = peer.start("GET", f"EIO=4&transport=polling&sid={sid}")
        assert peer.post(sid, "1")[0] == 200
        assert peer.finish(parked) == (200, "6")
        assert peer.poll(sid)[0] == 400

    def test_a_websocket_client_closes_its_session(self, peer: Peer) -> None:
        with peer.websocket() as socket:
            receive(socket)
            socket.send("1")
            wait_until_closed(socket)


class TestUpgrade:
    def test_the_parked_poll_is_released_by_a_noop(self, engine: Peer) -> None:
        sid = engine.open_polling()
        with engine.websocket(f"EIO=4&transport=websocket&sid={sid}") as socket:
            socket.send("2probe")
            assert receive(socket) == "3probe"
            assert engine.poll(sid) == (200, "6")
            socket.send("5")
            socket.send("4hello")
            assert receive_message(socket) == "4hello"

    def test_polling_is_over_after_the_upgrade(self, engine: Peer) -> None:
        sid = engine.open_polling()
        with engine.websocket(f"EIO=4&transport=websocket&sid={sid}") as socket:
            socket.send("2probe")
            socket.send("5")
            assert receive(socket) == "3probe"
            socket.send("4upgraded")
            assert receive_message(socket) == "4upgraded"
            assert engine.poll(sid)[0] == 400
            socket.send("4hello")
            assert receive_message(socket) == "4hello"

    def test_a_second_websocket_is_refused_after_the_upgrade(self, engine: Peer) -> None:
        sid = engine.open_polling()
        with engine.websocket(f"EIO=4&transport=websocket&sid={sid}") as socket:
            socket.send("2probe")
            socket.send("5")
            assert receive(socket) == "3probe"
            with pytest.raises((InvalidStatus, ConnectionClosed)):
                receive(engine.websocket(f"EIO=4&transport=websocket&sid={sid}"))
            socket.send("4hello")
            assert receive_message(socket) == "4hello"


class TestConnect:
    @pytest.mark.parametrize(
        ("sent", "prefix", "event"),
        [
            ("40", "40{", '42["auth",{}]'),
            ('40{"token":"123"}', "40{", '42["auth",{"token":"123"}]'),
            ("40/custom,", "40/custom,{", '42/custom,["auth",{}]'),
            ('40/custom,{"token":"abc"}', "40/custom,{", '42/custom,["auth",{"token":"abc"}]'),
        ],
    )
    def test_a_namespace_is_joined_with_or_without_a_payload(
        self, sockets: Peer, sent: str, prefix: str, event: str
    ) -> None:
        with sockets.websocket() as socket:
            receive(socket)
            socket.send(sent)
            answer = receive_message(socket)
            assert isinstance(answer, str)
            assert answer.startswith(prefix)
            payload = json.loads(answer[len(prefix) - 1 :])
            assert list(payload) == ["sid"]
            assert isinstance(payload["sid"], str)
            assert receive_message(socket) == event

    def test_an_unknown_namespace_is_refused(self, sockets: Peer) -> None:
        with sockets.websocket() as socket:
            receive(socket)
            socket.send("40/random")
            assert receive_message(socket) == '44/random,{"message":"Invalid namespace"}'

    def test_an_invalid_handshake_closes_the_connection(self, sockets: Peer) -> None:
        with sockets.websocket() as socket:
            receive(socket)
            socket.send("4abc")
            wait_until_closed(socket)

    def test_a_client_that_joins_no_namespace_is_closed(self, sockets: Peer) -> None:
        with sockets.websocket() as socket:
            receive(socket)
            # It answers the heartbeat all the time: what closes it is connect_timeout.
            for _ in range(2):
                assert receive(socket) == "2"
                socket.send("3")
            wait_until_closed(socket)


@pytest.fixture
def joined(sockets: Peer) -> Iterator[ClientConnection]:
    """A connection that has joined the main namespace."""
    with sockets.websocket() as socket:
        receive(socket)
        socket.send("40")
        receive_message(socket)
        assert receive_message(socket) == '42["auth",{}]'
        yield socket


class TestPackets:
    def test_after_a_disconnect_only_the_heartbeat_goes_on(self, joined: ClientConnection) -> None:
        joined.send("41")
        assert receive(joined) == "2"

    def test_leaving_one_namespace_leaves_the_other(self, joined: ClientConnection) -> None:
        joined.send("40/custom")
        receive_message(joined)
        receive_message(joined)
        joined.send("41/custom")
        joined.send('42["message","message to main namespace"]')
        assert receive_message(joined) == '42["message-back","message to main namespace"]'

    def test_an_event_comes_back(self, joined: ClientConnection) -> None:
        joined.send('42["message",1,"2",{"3":[true]}]')
        assert receive_message(joined) == '42["message-back",1,"2",{"3":[true]}]'

    def test_an_event_with_attachments_comes_back(self, joined: ClientConnection) -> None:
        placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        for packet in (f'452-["message",{placeholders}]', b"\x01\x02\x03", b"\x04\x05\x06"):
            joined.send(packet)
        answers = [receive_message(joined) for _ in range(3)]
        assert answers == [f'452-["message-back",{placeholders}]', b"\x01\x02\x03", b"\x04\x05\x06"]

    def test_an_event_is_acknowledged_under_its_id(self, joined: ClientConnection) -> None:
        joined.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert receive_message(joined) == '43456[1,"2",{"3":[false]}]'

    def test_an_event_with_attachments_is_acknowledged_with_attachments(self, joined: ClientConnection) -> None:
        placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        for packet in (f'452-789["message-with-ack",{placeholders}]', b"\x01\x02\x03", b"\x04\x05\x06"):
            joined.send(packet)
        answers = [receive_message(joined) for _ in range(3)]
        assert answers == [f"462-789[{placeholders}]", b"\x01\x02\x03", b"\x04\x05\x06"]

    @pytest.mark.parametrize("packet", ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]'])
    def test_an_invalid_packet_closes_the_connection(self, joined: ClientConnection, packet: str) -> None:
        joined.send(packet)
        wait_until_closed(joined)
