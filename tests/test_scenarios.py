"""A whole server on trio and on asyncio: what clients do, over real sockets, the same list for both."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import pytest
import trio
import trustme

import siocore
from driver_harness import Flag, Server, each_host, pause, run
from siocore.testing.wire import (
    BINARY,
    CLOSE,
    TEXT,
    WEBSOCKET_HEADERS,
    FrameReader,
    Response,
    ResponseReader,
    masked_frame,
    request_bytes,
)

PATH = "/socket.io/?EIO=4"


class Http:
    """One HTTP connection of a client."""

    def __init__(self, server: Server) -> None:
        self.sock = server.connect().sock
        self._reader = ResponseReader()
        self._answers: list[Response] = []

    def request(self, method: str, target: str, body: bytes = b"") -> Response:
        self.sock.sendall(request_bytes(method, target, body=body))
        return self.answer()

    def answer(self) -> Response:
        while not self._answers:
            data = self.sock.recv(65536)
            assert data, "the server has closed the connection"
            self._answers += self._reader.feed(data)
        return self._answers.pop(0)


class Polling:
    """A session by long-polling."""

    def __init__(self, server: Server, path: str = PATH) -> None:
        self.http = Http(server)
        self.open = json.loads(self.http.request("GET", f"{path}&transport=polling").body[1:])
        self.target = f"{path}&transport=polling&sid={self.open['sid']}"

    def post(self, *packets: str) -> bytes:
        return self.http.request("POST", self.target, "\x1e".join(packets).encode()).body

    def poll(self) -> list[str]:
        return self.http.request("GET", self.target).body.decode().split("\x1e")


class WebSocket:
    """A session by WebSocket. Answers PING and the close frame."""

    def __init__(self, server: Server, query: str = "", *, path: str = PATH, tls: ssl.SSLContext | None = None) -> None:
        self.sock = (server.connect() if tls is None else server.connect_tls(tls)).sock
        self.sock.sendall(request_bytes("GET", f"{path}&transport=websocket{query}", WEBSOCKET_HEADERS))
        responses = ResponseReader()
        while not (found := responses.feed(self.sock.recv(65536))):
            pass
        assert found[0].status == 101, found[0]
        self.close_code: int | None = None
        self._reader = FrameReader()
        self._frames = self._reader.feed(responses.rest())

    def send(self, *messages: str | bytes) -> None:
        """In one segment."""
        self.sock.sendall(
            b"".join(
                masked_frame(TEXT, message.encode()) if isinstance(message, str) else masked_frame(BINARY, message)
                for message in messages
            )
        )

    def receive(self) -> str | bytes | None:
        """The next message; ``None`` at the end."""
        while True:
            while not self._frames:
                data = self.sock.recv(65536)
                if not data:
                    return None
                self._frames += self._reader.feed(data)
            opcode, payload = self._frames.pop(0)
            if opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
                self.sock.sendall(masked_frame(CLOSE, payload))
            elif opcode == BINARY:
                return payload
            elif payload == b"2":
                self.send("3")
            else:
                return payload.decode()

    def join(self, auth: object = None) -> str:
        """Open, and join the namespace "/"; the socket's id."""
        opened = self.receive()
        assert isinstance(opened, str)
        assert opened[0] == "0"
        self.send("40" if auth is None else "40" + json.dumps(auth))
        answer = self.receive()
        assert isinstance(answer, str)
        assert answer.startswith("40"), answer
        return str(json.loads(answer[2:])["sid"])


def make_server(host: str, **options: Any) -> siocore.Server:
    """The application that most scenarios use."""
    io = siocore.Server(**options)

    @io.use
    async def authenticate(socket: siocore.Socket) -> None:
        await pause(host)
        if socket.handshake.auth.get("token") == "wrong":
            raise siocore.ConnectionRefused("not authorized", data={"retry": False})

    @io.on("echo")
    async def echo(socket: siocore.Socket, *args: Any) -> Any:
        return args[0] if len(args) == 1 else list(args)

    @io.on("slow")
    async def slow(socket: siocore.Socket, value: Any) -> Any:
        await pause(host)
        return value

    @io.on("say")
    def say(socket: siocore.Socket, text: str) -> None:
        io.to("lobby").emit("said", text)

    @io.on("say later")
    async def say_later(socket: siocore.Socket, text: str) -> None:
        await pause(host, 0.01)
        io.to("lobby").emit("said", text)

    @io.on("join")
    def join(socket: siocore.Socket, room: str) -> str:
        socket.join(room)
        return "joined"

    @io.on("ask me")
    async def ask(socket: siocore.Socket) -> None:
        socket.emit("answer", await socket.emit_with_ack("question", 1, timeout=20))

    return io


@each_host
def test_events_are_acknowledged_over_a_websocket(host: str) -> None:
    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        socket.send('421["echo","hello"]')
        assert socket.receive() == '431["hello"]'
        socket.send('422["slow",{"a":[1,2]}]')
        assert socket.receive() == '432[{"a":[1,2]}]'
        socket.send(*(f'42{number}["echo",{number}]' for number in range(500)))
        assert [socket.receive() for _ in range(500)] == [f"43{number}[{number}]" for number in range(500)]

    run(host, make_server(host), scenario)


@each_host
def test_binary_events_come_back_with_their_attachments(host: str) -> None:
    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        for size in (0, 1, 100_000):
            socket.send('451-7["echo",{"_placeholder":true,"num":0}]', b"\x01" * size)
            assert socket.receive() == '461-7[{"_placeholder":true,"num":0}]'
            assert socket.receive() == b"\x01" * size

    run(host, make_server(host), scenario)


@each_host
def test_events_are_acknowledged_over_long_polling(host: str) -> None:
    def scenario(server: Server) -> None:
        polling = Polling(server)
        assert polling.post("40") == b"ok"
        (joined,) = polling.poll()
        assert joined.startswith("40{")
        assert polling.post('421["echo","a"]', '422["slow","b"]', '423["echo","c"]') == b"ok"
        answers: list[str] = []
        while len(answers) < 3:
            answers += polling.poll()
        assert sorted(answers) == ['431["a"]', '432["b"]', '433["c"]']

    run(host, make_server(host), scenario)


@each_host
def test_a_parked_poll_is_answered_by_what_another_client_does(host: str) -> None:
    def scenario(server: Server) -> None:
        polling = Polling(server)
        polling.post("40")
        polling.poll()
        polling.post('421["join","lobby"]')
        assert polling.poll() == ['431["joined"]']
        polling.http.sock.sendall(request_bytes("GET", polling.target))
        other = WebSocket(server)
        other.join()
        other.send('42["say","hi"]')
        assert polling.http.answer().body == b'42["said","hi"]'

    run(host, make_server(host), scenario)


@each_host
def test_a_session_moves_from_polling_to_websocket_and_loses_nothing(host: str) -> None:
    def scenario(server: Server) -> None:
        polling = Polling(server)
        polling.post("40")
        polling.poll()
        socket = WebSocket(server, f"&sid={polling.open['sid']}")
        socket.send("2probe")
        assert socket.receive() == "3probe"
        polling.post('421["echo","before"]')
        socket.send("5")
        assert socket.receive() == '431["before"]'
        socket.send('422["echo","after"]')
        assert socket.receive() == '432["after"]'

    run(host, make_server(host), scenario)


@each_host
def test_a_broadcast_reaches_everyone_in_the_room_and_nobody_else(host: str) -> None:
    def scenario(server: Server) -> None:
        members = [WebSocket(server) for _ in range(50)]
        for member in members:
            member.join()
            member.send('421["join","lobby"]')
            assert member.receive() == '431["joined"]'
        outsider = WebSocket(server)
        outsider.join()
        outsider.send(*(f'42["say","{number}"]' for number in range(100)))
        outsider.send('421["echo","end"]')
        assert outsider.receive() == '431["end"]'
        for member in members:
            assert [member.receive() for _ in range(100)] == [f'42["said","{number}"]' for number in range(100)]

    run(host, make_server(host), scenario)


@each_host
def test_the_server_asks_and_the_client_answers(host: str) -> None:
    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        socket.send('42["ask me"]')
        question = socket.receive()
        assert isinstance(question, str)
        assert question.endswith('["question",1]')
        socket.send("43" + question[2 : question.index("[")] + '["fine"]')
        assert socket.receive() == '42["answer","fine"]'

    run(host, make_server(host), scenario)


@each_host
def test_middleware_refuses_with_a_reason(host: str) -> None:
    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.receive()
        socket.send('40{"token":"wrong"}')
        assert socket.receive() == '44{"message":"not authorized","data":{"retry":false}}'

    run(host, make_server(host), scenario)


@each_host
def test_a_background_task_of_a_handler_emits(host: str) -> None:
    io = siocore.Server()

    async def count(socket: siocore.Socket) -> None:
        for number in range(5):
            socket.emit("tick", number)
            await pause(host)

    @io.on("start")
    async def start(socket: siocore.Socket) -> str:
        if host == "trio":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count, socket)
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(count(socket))
        return "done"

    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        socket.send('421["start"]')
        assert [socket.receive() for _ in range(6)] == [*(f'42["tick",{number}]' for number in range(5)), '431["done"]']

    run(host, io, scenario)


@each_host
def test_awaiting_emit_waits_for_a_slow_reader_and_goes_on_when_it_has_read(host: str) -> None:
    io = siocore.Server()
    sent: list[int] = []

    @io.on("flood")
    async def flood(socket: siocore.Socket) -> None:
        for number in range(400):
            await socket.emit("block", number, "x" * 20_000)
            sent.append(number)

    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        socket.send('42["flood"]')
        for number in range(400):
            message = socket.receive()
            assert isinstance(message, str)
            assert message.startswith(f'42["block",{number},')

    run(host, io, scenario)
    assert sent == list(range(400))


@each_host
def test_a_client_that_answers_no_ping_is_closed_and_one_that_does_lives(host: str) -> None:
    gone = Flag()
    reasons: list[str] = []
    io = make_server(host, ping_interval=0.05, ping_timeout=0.1)

    @io.on("disconnect")
    async def disconnected(socket: siocore.Socket, reason: str) -> None:
        reasons.append(reason)
        gone.set()

    def scenario(server: Server) -> None:
        silent, alive = WebSocket(server), WebSocket(server)
        silent.join()
        alive.join()
        while not gone.is_set():
            alive.send('421["slow",1]')
            assert alive.receive() == "431[1]"

    run(host, io, scenario)
    assert reasons[0] == "ping timeout"


@each_host
@pytest.mark.parametrize("end", ["disconnect", "close", "reset"])
def test_every_way_of_leaving_is_one_disconnect_and_leaves_nothing(host: str, end: str) -> None:
    gone = Flag()
    reasons: list[str] = []
    io = make_server(host)

    @io.on("disconnect")
    async def disconnected(socket: siocore.Socket, reason: str) -> None:
        await pause(host)
        reasons.append(reason)
        gone.set()

    def scenario(server: Server) -> None:
        socket = WebSocket(server)
        socket.join()
        if end == "disconnect":
            socket.send("41")
        elif end == "close":
            socket.sock.close()
        else:
            server.clients[-1].reset()
        gone.wait()
        if end != "disconnect":
            assert not server.call(lambda: io.protocol.sessions)

    run(host, io, scenario)
    assert reasons == ["client namespace disconnect" if end == "disconnect" else "transport close"]


@each_host
def test_a_graceful_stop_tells_every_client_and_runs_the_disconnect_handlers(host: str) -> None:
    reasons: list[str] = []
    io = make_server(host)

    @io.on("disconnect")
    async def disconnected(socket: siocore.Socket, reason: str) -> None:
        await pause(host)
        reasons.append(reason)

    def scenario(server: Server) -> None:
        sockets = [WebSocket(server) for _ in range(5)]
        for socket in sockets:
            socket.join()
        polling = Polling(server)
        polling.post("40")
        polling.poll()
        polling.http.sock.sendall(request_bytes("GET", polling.target))
        server.stop()
        for socket in sockets:
            assert socket.receive() is None
            assert socket.close_code == 1001
        assert polling.http.answer().body == b"1"

    run(host, io, scenario, grace=1000.0)
    assert reasons == ["server shutting down"] * 6


@each_host
def test_engine_io_alone_is_served(host: str) -> None:
    engine = siocore.EngineServer()

    @engine.on("message")
    async def echo(session: siocore.Session, data: str | bytes) -> None:
        await pause(host)
        session.send(data)

    def scenario(server: Server) -> None:
        socket = WebSocket(server, path="/engine.io/?EIO=4")
        socket.receive()
        socket.send("4hello", b"\x00\x01")
        assert {socket.receive(), socket.receive()} == {"4hello", b"\x00\x01"}

    run(host, engine, scenario)


@each_host
def test_everything_works_over_tls(host: str) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    def scenario(server: Server) -> None:
        socket = WebSocket(server, tls=client)
        socket.join()
        socket.send(*(f'42{number}["slow",{number}]' for number in range(50)))
        assert {socket.receive() for _ in range(50)} == {f"43{number}[{number}]" for number in range(50)}

    run(host, make_server(host), scenario, ssl_context=context)


@each_host
def test_a_request_behind_a_parked_poll_is_handled_as_soon_as_the_poll_is_answered(host: str) -> None:
    def scenario(server: Server) -> None:
        polling = Polling(server)
        polling.post("40")
        polling.poll()
        polling.post('421["join","lobby"]')
        assert polling.poll() == ['431["joined"]']
        poll = request_bytes("GET", polling.target)
        polling.http.sock.sendall(poll + request_bytes("POST", polling.target, body=b'42["say","second"]') + poll)
        other = WebSocket(server)
        other.join()
        # From a task, when nothing else happens.
        other.send('42["say later","first"]')
        assert polling.http.answer().body == b'42["said","first"]'
        assert polling.http.answer().body == b"ok"
        assert polling.http.answer().body == b'42["said","second"]'

    run(host, make_server(host), scenario)


@each_host
def test_ten_thousand_clients_that_come_and_go_leave_nothing_behind(host: str) -> None:
    io = make_server(host)

    def scenario(server: Server) -> None:
        stays = WebSocket(server)
        stays.join()
        for number in range(10_000):
            leaves = WebSocket(server)
            leaves.join()
            leaves.send('421["slow",1]')
            if number % 3 == 0:
                assert leaves.receive() == "431[1]"
            server.clients.pop().reset() if number % 2 else leaves.sock.close()
        while server.call(lambda: len(io.protocol.connections)) > 1:
            pass
        assert server.call(lambda: len(io.protocol.sessions)) == 1
        stays.send('421["echo",1]')
        assert stays.receive() == "431[1]"

    run(host, io, scenario)
