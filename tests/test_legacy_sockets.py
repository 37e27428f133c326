"""Clients of Socket.IO 2 on Engine.IO 3, together with those of today, on virtual time."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from raw_client import RawHttp, RawWebSocket, SocketApp
from siocore import ConnectionRefused, Decoder, Disconnected, Limits, Packet, Parser, Server, Socket
from siocore.socketio.adapter import MemoryAdapter
from siocore.testing import TestClient, TestServer

TRANSPORTS = ["polling", "websocket", "upgrade"]


class Hall:
    """A server that knows its sockets."""

    def __init__(self, **options: Any) -> None:
        self.app = Server(allow_eio3=True, **options)
        self.sockets: list[Socket] = []
        self.gone: list[tuple[str, str]] = []
        self.app.on("connection")(self.sockets.append)
        self.app.on("disconnect")(lambda socket, reason: self.gone.append((socket.id, reason)))
        self.app.on("echo")(lambda socket, *args: args)
        self.answers: list[object] = []
        self.app.on("ask me")(self.ask)
        self.server = TestServer(self.app)

    async def ask(self, socket: Socket) -> None:
        try:
            self.answers.append(await socket.emit_with_ack("question"))
        except Disconnected as error:
            self.answers.append(error)

    def client(self, transport: str = "websocket", revision: int = 3) -> TestClient:
        return TestClient(self.server, transport, revision=revision)

    def raw(self) -> RawWebSocket:
        """A WebSocket of revision 3, behind its OPEN and CONNECT packets."""
        websocket = RawWebSocket(self.server, eio="EIO=3&")
        websocket.take()
        return websocket


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_events_and_acknowledgements_travel_both_ways(transport: str) -> None:
    hall = Hall()
    client = hall.client(transport)
    assert client.connect() == client.engine.sid == hall.sockets[0].id
    value = ["€ 😀", {"é": [b"\1\2", None, 1.5]}, b""]
    assert client.emit_with_ack("echo", *value) == tuple(value)
    hall.sockets[0].emit("news", *value)
    assert client.receive().args == value
    client.on_event = lambda event: client.ack(event, "yes", b"\3")
    client.emit("ask me")
    hall.server.advance(1)
    assert hall.answers == [("yes", b"\3")]
    client.disconnect()
    hall.server.advance(1)
    assert [reason for _, reason in hall.gone] == ["transport close"]


def test_the_client_is_in_the_main_namespace_without_asking_and_hears_no_id() -> None:
    hall = Hall()
    websocket = RawWebSocket(hall.server, eio="EIO=3&")
    opened, connected = websocket.take()
    assert str(opened).startswith("0{")
    assert connected == "40"
    assert hall.sockets[0].handshake.auth == {}


def test_ids_are_those_that_the_client_gives_itself() -> None:
    hall = Hall()
    second: list[Socket] = []
    hall.app.of("/second").on("connection")(second.append)
    client = hall.client()
    client.connect()
    assert client.connect("/second") == f"/second#{client.id}" == second[0].id
    # Each is the room of that socket.
    hall.app.to(client.id).emit("to main")
    hall.app.of("/second").to(second[0].id).emit("to second")
    assert [client.receive().name, client.receive().name] == ["to main", "to second"]


def test_what_stands_behind_the_name_of_a_namespace_is_its_auth() -> None:
    hall = Hall()
    seen: list[tuple[Any, Any]] = []
    hall.app.of("/admin").on("connection")(lambda socket: seen.append((socket.handshake.auth, socket.handshake.query)))
    websocket = RawWebSocket(hall.server, "&token=query", eio="EIO=3&")
    websocket.take()
    assert websocket.send("40/admin?token=x&x=1&x=2&e=&%C3%A9=%F0%9F%98%80&a=b+c") == ["40/admin,"]
    auth, query = seen[0]
    assert auth == {"token": "x", "x": "2", "e": "", "é": "😀", "a": "b c"}
    assert query["token"] == "query"
    assert websocket.send('42/admin,7["nobody"]', "41/admin,", '42["echo",1]') == []


def test_a_token_may_be_longer_than_the_name_of_a_namespace() -> None:
    hall = Hall()
    seen: list[Any] = []
    hall.app.of("/admin").on("connection")(lambda socket: seen.append(socket.handshake.auth))
    token = base64.b64encode(b"x" * 3_000).decode()
    websocket = hall.raw()
    assert websocket.send(f"40/admin?token={token},") == ["40/admin,"]
    assert seen == [{"token": token}]


@pytest.mark.parametrize(
    "packet",
    [
        "40/" + "a" * 256 + "?x",
        "40/admin?" + "&" * 1_000,
        "40/admin?" + "a=1&" * 1_001,
        "40/\x1e",
        "40/admin?x=\x1e",
    ],
)
def test_names_and_queries_have_their_bounds(packet: str) -> None:
    hall = Hall()
    hall.app.of("/admin")
    hall.raw().send(packet)
    assert [reason for _, reason in hall.gone] == ["forced close"]
    hall.server.advance(60)
    assert hall.server.protocol.sessions == {}


def test_clients_of_today_still_have_no_query_in_the_name_of_a_namespace() -> None:
    hall = Hall()
    hall.app.of("/admin")
    websocket = RawWebSocket(hall.server)
    websocket.take()
    assert websocket.send("40/admin?token=x,") == ['44/admin?token=x,{"message":"Invalid namespace"}']


@pytest.mark.parametrize(
    ("refusal", "packet"),
    [
        (ConnectionRefused("go away"), '44/admin,"go away"'),
        (ConnectionRefused("go away", {"c": 1}), '44/admin,{"c":1}'),
        (ConnectionRefused("go away", "text"), '44/admin,"text"'),
        (ConnectionRefused("go away", [1]), '44/admin,{"message":"go away","data":[1]}'),
        (ValueError("secret"), '44/admin,"internal error"'),
    ],
)
def test_a_refusal_is_the_data_or_the_message_itself(refusal: Exception, packet: str) -> None:
    hall = Hall()
    failed: list[object] = []
    hall.app.on_error(lambda error, *_: failed.append(error))

    @hall.app.of("/admin").use
    def refuse(socket: Socket) -> None:
        raise refusal

    assert hall.raw().send("40/admin,") == [packet]
    assert failed == ([refusal] if isinstance(refusal, ValueError) else [])


def test_a_namespace_that_does_not_exist_is_refused_and_the_client_stays() -> None:
    hall = Hall()
    websocket = hall.raw()
    assert websocket.send("40/nowhere?x=1,") == ['44/nowhere,{"message":"Invalid namespace"}']
    assert websocket.send('421["echo",1]') == ["431[1]"]


def test_who_is_refused_in_the_main_namespace_may_join_another_or_is_closed_in_time() -> None:
    hall = Hall(connect_timeout=10)
    hall.app.use(refuse_all)
    second = hall.app.of("/second")
    second.on("connection")(hall.sockets.append)
    closed, stays = RawWebSocket(hall.server, eio="EIO=3&"), RawWebSocket(hall.server, eio="EIO=3&")
    for websocket in (closed, stays):
        assert websocket.take()[1] == '44"not here"'
    stays.send("40/second,")
    hall.server.advance(10)
    assert (closed.close_code, stays.close_code) == (1000, None)


def refuse_all(socket: Socket) -> None:
    raise ConnectionRefused("not here")


def test_the_main_namespace_satisfies_the_connect_timeout() -> None:
    hall = Hall(connect_timeout=10)
    websocket = hall.raw()
    hall.server.advance(20)
    assert websocket.close_code is None


def test_no_event_is_handled_before_the_middleware_has_let_the_client_in() -> None:
    hall = Hall()
    handled: list[object] = []
    hall.app.on("admin")(lambda socket: handled.append(socket))
    hall.app.use(refuse_all)
    websocket = RawWebSocket(hall.server, eio="EIO=3&", trailing=b"")
    websocket.send('42["admin"]')
    assert handled == []
    assert hall.sockets == []


@pytest.mark.parametrize("packet", ["40", "40/", "44", '44"x"', "41/second,", '42/second,["x"]', "4abc", "42{}", "4"])
def test_breaking_the_protocol_ends_the_session(packet: str) -> None:
    hall = Hall()
    hall.app.of("/second")
    websocket = hall.raw()
    websocket.send(packet)
    assert len(hall.gone) == 1
    assert hall.gone[0][1] in ("forced close", "forced server close")
    assert websocket.close_code == 1000


def test_leaving_the_main_namespace_leaves_the_others() -> None:
    hall = Hall()
    hall.app.of("/second").on("echo")(lambda socket, *args: args)
    websocket = hall.raw()
    websocket.send("40/second,")
    assert websocket.send("41", '42/second,1["echo",1]') == ["43/second,1[1]"]
    assert [reason for _, reason in hall.gone] == ["client namespace disconnect"]
    # It may come back, and does so by asking.
    assert websocket.send("40") == ["40"]


def test_the_server_disconnects_a_client() -> None:
    hall = Hall()
    client = hall.client()
    client.connect()
    hall.sockets[0].disconnect()
    hall.server.settle()
    assert client.ids == {}
    assert hall.gone == [(client.engine.sid, "server namespace disconnect")]


def test_a_pending_acknowledgement_fails_when_the_client_stops_pinging() -> None:
    hall = Hall()
    client = hall.client()
    client.connect()
    client.engine.answers_pings = False
    client.emit("ask me")
    hall.server.advance(44.9)
    assert hall.answers == []
    hall.server.advance(0.1)
    assert isinstance(hall.answers[0], Disconnected)
    assert [reason for _, reason in hall.gone] == ["ping timeout"]


class Counted(MemoryAdapter):
    """Keeps what was broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def broadcast(self, data: Any, message: Any, selection: Any, ack: Any) -> None:
        self.messages.append(message)
        super().broadcast(data, message, selection, ack)


def test_one_room_has_clients_of_all_revisions_and_transports() -> None:
    adapters: list[Counted] = []

    def make() -> Counted:
        adapters.append(Counted())
        return adapters[-1]

    hall = Hall(adapter=make)
    clients = [hall.client(transport, revision) for transport in TRANSPORTS for revision in (3, 4, 3)]
    for client in clients:
        client.connect()
    for socket in hall.sockets:
        socket.join("room")
    hall.app.to("room").emit("news", "€ 😀", b"\1\2")
    hall.app.to("room").emit("text only")
    hall.server.settle()
    for client in clients:
        assert [(event.name, event.args) for event in client.events] == [("news", ["€ 😀", b"\1\2"]), ("text only", [])]
    # Each form was made once: those who want the same got the same bytes.
    binary, text = adapters[0].messages
    assert binary.revision3_frames(False) is binary.revision3_frames(False)
    assert text.revision3_frames(False) is text.frames()


def test_recovery_is_for_clients_of_today_and_others_do_not_notice_it() -> None:
    hall = Hall(recovery=True)
    client = hall.client()
    client.connect()
    assert hall.sockets[0].recovery is None
    hall.sockets[0].emit("one", 1)
    hall.app.emit("two", 2)
    assert [client.receive().args, client.receive().args] == [[1], [2]]
    # Nor can one of them have the state of another client, whatever it says.
    second: list[Socket] = []
    hall.app.of("/second").on("connection")(second.append)
    modern = hall.client(revision=4)
    modern.connect("/second")
    modern.engine.cut()
    hall.server.advance(1)
    assert hall.raw().send(f"40/second?pid={modern.pids['/second']},") == ["40/second,"]
    assert [socket.recovered for socket in second] == [False, False]
    assert second[1].id.startswith("/second#")


def test_a_parser_of_the_application_works_for_old_clients_too() -> None:
    hall = Hall(parser="msgpack")
    websocket = RawWebSocket(hall.server, eio="EIO=3&")
    _, connected = websocket.take()
    assert isinstance(connected, bytes)
    assert connected[:1] == b"\4"
    assert hall.sockets[0].connected


def test_what_a_parser_of_the_application_writes_is_sent_as_it_is() -> None:
    class Deaf(Decoder):
        def receive(self, message: str | bytes) -> Packet | None:
            return None

    class Plain(Parser):
        def encode(self, type: int, namespace: str, data: object, id: int | None) -> list[str | bytes]:
            return [f"packet {type} for é"]

        def decoder(self, limits: Limits) -> Decoder:
            return Deaf()

    hall = Hall(parser=Plain())
    http = RawHttp(hall.server)
    http.request("GET", "/socket.io/?EIO=3&transport=polling")
    answer = http.request("GET", f"/socket.io/?EIO=3&transport=polling&sid={hall.sockets[0].id}")
    assert answer is not None
    assert answer.body == "15:4packet 0 for é".encode()


def test_text_for_long_polling_is_ascii_so_that_every_old_client_reads_it() -> None:
    hall = Hall()
    http = RawHttp(hall.server)
    response = http.request("GET", "/socket.io/?EIO=3&transport=polling")
    assert response is not None
    sid = hall.sockets[0].id
    hall.sockets[0].emit("é", "😀")
    answer = http.request("GET", f"/socket.io/?EIO=3&transport=polling&sid={sid}")
    assert answer is not None
    assert answer.body == b'2:4027:42["\\u00e9","\\ud83d\\ude00"]'


def test_attachments_are_bounded_as_for_clients_of_today() -> None:
    hall = Hall(limits=Limits(attachment_timeout=5))
    websocket = hall.raw()
    websocket.send('451-["echo",{"_placeholder":true,"num":0}]')
    hall.server.advance(5)
    assert [reason for _, reason in hall.gone] == ["forced close"]
    assert websocket.close_code == 1000


def test_an_old_client_without_the_option_reaches_no_handler() -> None:
    app = SocketApp()
    websocket = RawWebSocket(app.server, eio="EIO=3&")
    assert websocket.response is not None
    assert websocket.response.status == 400
    assert app.events == []


def test_the_id_of_an_old_client_is_not_in_the_representation_of_its_socket() -> None:
    hall = Hall()
    hall.client().connect()
    assert hall.sockets[0].id not in repr(hall.sockets[0])
    modern = hall.client(revision=4)
    modern.connect()
    assert modern.id in repr(hall.sockets[1])
