"""Every example in README.md runs and does what it says."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import trio
from websockets.sync.client import ClientConnection, connect

import siocore.redis
from peers.harness import LOOPS, serve
from redis_servers import RedisServer

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"(?:<!-- test: (?P<name>[^>]+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
EXAMPLES = {block["name"]: block["code"] for block in BLOCK.finditer(README.read_text(encoding="utf-8"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the README's files, saved under the names that it gives them."""
    for name, code in EXAMPLES.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(code, encoding="utf-8")
    return tmp_path


@contextmanager
def client(url: str, path: str = "/socket.io/") -> Iterator[ClientConnection]:
    target = f"{url.replace('http', 'ws', 1)}{path}?EIO=4&transport=websocket"
    with connect(target, proxy=None, compression=None, open_timeout=10) as opened:
        assert str(opened.recv(timeout=10)).startswith('0{"sid":"')
        yield opened


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


def chat_works(url: str) -> None:
    with client(url) as ada:
        ada.send('40{"name":"Ada"}')
        assert str(ada.recv(timeout=10)).startswith('40{"sid":"')
        ada.send('421["chat message","hello"]')
        assert ada.recv(timeout=10) == '42["chat message","Ada","hello"]'
        assert ada.recv(timeout=10) == '431["delivered"]'
    with client(url) as nobody:
        nobody.send("40")
        assert nobody.recv(timeout=10) == '44{"message":"a name is needed","data":{"retry":false}}'


def test_every_python_example_says_how_it_is_tested() -> None:
    assert set(EXAMPLES) == {
        "chat.py",
        "serve with trio",
        "serve with asyncio",
        "client on trio",
        "blocking client",
        "shop.py",
        "options.py",
        "echo.py",
        "embedded.py",
        "cluster.py",
    }


def test_several_workers_serve_the_chat(folder: Path) -> None:
    with serve("serve", "chat:io", "--workers", "4", folder=folder) as server:
        chat_works(server.url)


def test_the_servers_of_a_cluster_are_together(folder: Path) -> None:
    with RedisServer() as redis:
        path = folder / "cluster.py"
        path.write_text(path.read_text(encoding="utf-8").replace("redis://127.0.0.1:6379", redis.url), encoding="utf-8")
        with (
            serve("serve", "cluster:io", folder=folder) as one,
            serve("serve", "cluster:io", "--loop", "asyncio", folder=folder) as two,
            client(one.url) as here,
            client(two.url) as there,
        ):
            for each in (here, there):
                each.send("40")
                assert str(each.recv(timeout=10)).startswith('40{"sid":"')

            async def tell() -> None:
                async with siocore.redis.StreamsEmitter(redis.url) as emitter:
                    emitter.emit("news", 1)

            trio.run(tell)
            for each in (here, there):
                assert str(each.recv(timeout=10)).startswith('42["news",1')
            for server in (one, two):
                server.wait_for_line("all servers are together")
            redis.kill()
            for server in (one, two):
                server.wait_for_line("only the clients of this server hear anything now")


@pytest.mark.parametrize("loop", LOOPS)
def test_the_chat_server_is_served_by_the_command(loop: str, folder: Path) -> None:
    with serve("serve", "chat:io", "--loop", loop, folder=folder) as server:
        chat_works(server.url)


@pytest.mark.parametrize(
    ("name", "printed"),
    [("client on trio", "Grace: hello\ndelivered\n"), ("blocking client", "delivered\n['Grace', 'hello']\n")],
)
def test_clients_talk_to_the_chat_server(name: str, printed: str, folder: Path) -> None:
    with serve("serve", "chat:io", folder=folder) as server:
        program = EXAMPLES[name].replace("http://127.0.0.1:3000", server.url)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (printed, "")


@pytest.mark.parametrize("name", ["serve with trio", "serve with asyncio"])
def test_the_chat_server_is_served_from_python(name: str, folder: Path) -> None:
    port = free_port()
    script = EXAMPLES[name].replace("3000", str(port))
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", script], cwd=folder, stderr=subprocess.PIPE)
    try:
        wait_until_listening(port, process)
        chat_works(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors


def shop_works(url: str) -> None:
    with client(url) as customer:
        customer.send("40")
        assert str(customer.recv(timeout=10)).startswith('40{"sid":"')
        answer = urlopen(Request(f"{url}/orders/7", method="POST"), timeout=10).read()
        assert json.loads(answer) == {"told": 1}
        assert customer.recv(timeout=10) == '42["order",7]'


@pytest.mark.parametrize("loop", LOOPS)
def test_the_shop_is_hosted_by_the_command(loop: str, folder: Path) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    with serve("serve", "shop:io", "--app", "shop:app", "--loop", loop, folder=folder) as server:
        shop_works(server.url)


def test_the_shop_runs_inside_uvicorn(folder: Path) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "shop:both", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    try:
        wait_until_listening(port, process)
        shop_works(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_the_options_in_the_summary_exist(folder: Path) -> None:
    script = "from options import io; print(io.options.allow_eio3, io.options.transports[2])"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "True webtransport\n"


@pytest.mark.parametrize("loop", LOOPS)
def test_the_echo_server_is_served_by_the_command(loop: str, folder: Path) -> None:
    with (
        serve("serve", "echo:engine", "--loop", loop, folder=folder) as server,
        client(server.url, "/engine.io/") as peer,
    ):
        peer.send("4hello")
        assert peer.recv(timeout=10) == "4hello"
        peer.send(b"\x00\x01")
        assert peer.recv(timeout=10) == b"\x00\x01"


def test_the_embedded_server_answers_over_both_transports(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "embedded.py", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(" ")[2])
        with client(f"http://127.0.0.1:{port}") as peer:
            peer.send("40")
            assert str(peer.recv(timeout=10)).startswith('40{"sid":"')
            peer.send('42["echo",{"n":1}]')
            assert peer.recv(timeout=10) == '42["echo",{"n":1}]'
        with socket.create_connection(("127.0.0.1", port), timeout=10) as polling:
            polling.sendall(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: polling.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'\r\n\r\n0{"sid":"' in answer
    finally:
        process.kill()
        process.communicate()


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Connect until it works: these examples print nothing."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError(f"the example ended: {process.communicate()[1].decode()}")
