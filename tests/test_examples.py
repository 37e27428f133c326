"""Each example does what it says."""

from __future__ import annotations

import ast
import contextlib
import http.client
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from peers.harness import ServerProcess, serve
from siocore.client_options import ClientOptions, EngineClientOptions

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Client:
    """A Socket.IO client over WebSocket, by hand."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        assert self.receive()[0] == "0"

    def receive(self) -> str:
        text = self.websocket.recv(timeout=10)
        assert isinstance(text, str)
        return text

    def expect(self, start: str) -> Any:
        text = self.receive()
        assert text.startswith(start), text
        return json.loads(text[len(start) :] or "null")


def websocket(port: int, path: str = "/socket.io/") -> Any:
    return connect(f"ws://127.0.0.1:{port}{path}?EIO=4&transport=websocket", compression=None)


def test_chat_tells_everybody_and_acknowledges() -> None:
    with (
        serve("serve", "chat:io", folder=EXAMPLES) as server,
        websocket(server.port) as one,
        websocket(server.port) as two,
    ):
        clients = [Client(one), Client(two)]
        ids = []
        for client in clients:
            client.websocket.send("40")
            ids.append(client.expect("40")["sid"])
            assert client.expect("42") == ["welcome", {"id": ids[-1]}]
        one.send('420["chat message","hello"]')
        assert clients[0].expect("42") == ["chat message", ids[0], "hello"]
        assert clients[0].expect("430") == ["delivered"]
        assert clients[1].expect("42") == ["chat message", ids[0], "hello"]


def test_auth_asyncio_lets_in_who_knows_the_token_and_collects_answers() -> None:
    with (
        serve("serve", "auth_asyncio:io", "--loop", "asyncio", folder=EXAMPLES) as server,
        websocket(server.port) as raw,
    ):
        client = Client(raw)
        raw.send('40/admin,{"token":"guess"}')
        assert client.expect("44/admin,") == {"message": "not authorized", "data": {"retry": False}}
        raw.send('40/admin,{"token":"s3cret"}')
        client.expect("40/admin,")
        raw.send("40")
        client.expect("40")
        raw.send('42/admin,1["count"]')
        assert client.expect("43/admin,1") == [1]
        raw.send('42/admin,2["ask everybody","tea?"]')
        assert client.expect("420") == ["question", "tea?"]
        raw.send('430["yes"]')
        assert client.expect("43/admin,2") == [["yes"]]


def test_recovery_brings_back_the_document_and_what_was_missed() -> None:
    with (
        serve("serve", "recovery:io", folder=EXAMPLES) as server,
        websocket(server.port) as writing,
        websocket(server.port) as reading,
    ):
        writer, reader = Client(writing), Client(reading)
        first = {}
        for client in (writer, reader):
            client.websocket.send("40")
            first = client.expect("40")
            client.websocket.send('420["open","plan"]')
            assert client.expect("430") == [[]]
        writing.send('42["append","one"]')
        name, line, offset = reader.expect("42")
        assert [name, line] == ["line", "one"]
        reading.close()
        server.wait_for_line(f"{first['sid']} is gone: transport close")
        writing.send('42["append","two"]')
        assert writer.expect("42")[:2] == ["line", "one"]
        assert writer.expect("42")[:2] == ["line", "two"]
        with websocket(server.port) as again:
            reader = Client(again)
            again.send("40" + json.dumps({"pid": first["pid"], "offset": offset}))
            assert reader.expect("40") == first
            assert reader.expect("42")[:2] == ["line", "two"]
            server.wait_for_line(f"{first['sid']} is back, with 'plan' open")
            writing.send('42["append","three"]')
            assert reader.expect("42")[:2] == ["line", "three"]


def test_engine_echo_sends_text_and_bytes_back() -> None:
    with serve("serve", "engine_echo:engine", folder=EXAMPLES) as server:
        with websocket(server.port, "/engine.io/") as raw:
            client = Client(raw)
            assert client.receive() == "4hello"
            raw.send("4text")
            assert client.receive() == "4text"
            raw.send(b"\x00\xff")
            assert raw.recv(timeout=10) == b"\x00\xff"
        server.wait_for_line("closed: transport close")


def test_fastapi_one_port_answers_http_and_socket_io_at_one_address() -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    arguments = ("serve", "fastapi_one_port:io", "--app", "fastapi_one_port:app")
    with serve(*arguments, folder=EXAMPLES) as server, websocket(server.port) as raw:
        server.wait_for_line("/socket.io/ is Socket.IO, other paths go to fastapi_one_port:app")
        client = Client(raw)
        raw.send("40")
        client.expect("40")
        raw.send('421["join","hall"]')
        assert client.expect("431") == ["joined"]
        assert ask(server.port, "GET", "/motto") == (200, {"motto": "one port"})
        assert ask(server.port, "POST", "/announce/hall?text=tea") == (200, {"told": 1})
        assert client.expect("42") == ["announcement", "tea"]
        assert ask(server.port, "GET", "/nothing")[0] == 404


def ask(port: int, method: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_embed_select_echoes_on_plain_sockets() -> None:
    server = load("embed_select").SelectServer("127.0.0.1", 0)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            server.turn()

    thread = threading.Thread(target=run)
    thread.start()
    with websocket(server.listener.getsockname()[1]) as raw:
        client = Client(raw)
        raw.send("40")
        client.expect("40")
        raw.send('427["echo",{"a":[1,2]}]')
        assert client.expect("437") == [{"a": [1, 2]}]
        stop.set()
    thread.join(10)
    assert not thread.is_alive()
    server.listener.close()
    for sock in list(server.connections):
        server.drop(sock, 0.0)
    assert not server.protocol.sessions


def run_example(name: str, *arguments: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_clients_on_asyncio_and_trio_talk_to_the_chat() -> None:
    with serve("serve", "chat:io", folder=EXAMPLES) as server:
        welcome, *lines = run_example("client_asyncio", server.url, "hello", "bye")
        assert welcome.startswith("welcome, ")
        assert sorted(lines) == ["'bye' was delivered", "'hello' was delivered", "me says bye", "me says hello"]
        welcome, *lines = run_example("client_trio", server.url, "hello")
        sid = ast.literal_eval(welcome.removeprefix("welcome "))["id"]
        assert sorted(lines) == ["'hello' was delivered", f"chat message {sid} hello"]


def test_engine_client_gets_its_messages_back() -> None:
    with serve("serve", "engine_echo:engine", folder=EXAMPLES) as server:
        lines = run_example("engine_client", server.url)
    assert [line.split(" ", 1)[1] for line in lines] == ["'hello'", "'text'", r"b'\x00\xff'"]


APPENDING = """\
import os
import pathlib

import siocore

io = siocore.Server()
ended = pathlib.Path("ended")


@io.on("connection")
def connected(socket):
    print("came with", socket.handshake.auth["token"], flush=True)


@io.on("append")
def append(socket, line):
    if line["text"] == "two" and not ended.exists():
        ended.touch()
        os._exit(0)
    print("append", line["number"], line["text"], flush=True)
    return True
"""


def test_client_retry_sends_again_what_a_server_has_not_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "appending.py").write_text(APPENDING)
    with ServerProcess(["serve", "appending:io", "--port", "0"], tmp_path) as first:
        client = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "client_retry.py"), first.url, "one", "two", "three"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert first.wait() == 0
    assert first.lines[-2:] == ["came with token 1", "append 0 one"]
    with ServerProcess(["serve", "appending:io", "--port", str(first.port)], tmp_path) as second:
        printed, _ = client.communicate(timeout=60)
        assert second.stop() == 0
    assert client.returncode == 0
    one, gone, *rest = printed.splitlines()
    assert one == "appended: one"
    assert gone.startswith("gone: transport ")
    assert rest == ["back", "appended: two", "appended: three", "gone: io client disconnect"]
    assert second.lines[-3].startswith("came with token ")
    assert second.lines[-3] != "came with token 1"
    assert second.lines[-2:] == ["append 1 two", "append 2 three"]


def test_the_page_of_the_client_says_what_every_option_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES.parent / "docs"))
    table = importlib.import_module("client_options_table")
    for options in (EngineClientOptions, ClientOptions):
        rows = table.read_options(options.__name__)
        names = re.findall(r"``(\w+)``", " ".join(option for option, _, _ in rows))
        own = [field.name for field in fields(options) if field.name in options.__annotations__]
        assert names == own
        assert all(default for _, default, _ in rows)
        assert [option for option, _, meaning in rows if not meaning] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    limit = 100 if path.stem == "embed_select" else 60
    assert len(path.read_text().splitlines()) <= limit


def test_the_example_of_a_test_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_chat.py", "test_cluster.py"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_sync_client_speaks_in_the_lobby_and_hears_it(capsys: pytest.CaptureFixture[str]) -> None:
    with serve("serve", "chat:io", folder=EXAMPLES) as server:
        load("sync_client").main(f"http://127.0.0.1:{server.port}", "hello")
    lines = capsys.readouterr().out.splitlines()
    name = lines[0].removeprefix("I am ")
    assert lines == [f"I am {name}", "delivered", f"{name}: hello", "disconnected: io client disconnect"]
