"""Workers are stopped, with clients and handlers on all of them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peers.harness import LOOPS, ServerProcess
from siocore.cli import main
from siocore.testing.wire import CLOSE, TEXT, WEBSOCKET_HEADERS, FrameReader, masked_frame, request_bytes

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CLIENTS = 300
MESSAGES = 20
#: Seconds. Nothing here takes so long.
DEADLINE = 30


class Client:
    """A WebSocket of Socket.IO, as plain as can be. It reads all there is, until the end."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        #: The code of the close frame.
        self.code: int | None = None
        self._frames = FrameReader()
        self._news = asyncio.Event()
        self._ended = False

    async def connect(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer.write(request_bytes("GET", "/socket.io/?EIO=4&transport=websocket", WEBSOCKET_HEADERS))
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self.reading = asyncio.create_task(self._read())
        self.send("40")
        await self.until(lambda: any(text.startswith("40") for text in self.texts))

    def send(self, *texts: str) -> None:
        self._writer.write(b"".join(masked_frame(TEXT, text.encode()) for text in texts))

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert not self._ended, self.texts
            self._news.clear()
            await self._news.wait()

    async def until_event(self, name: str) -> None:
        await self.until(lambda: self.events(name))

    def events(self, name: str) -> list[list[Any]]:
        """The arguments of those that have come."""
        found = [json.loads(text[text.index("[") :]) for text in self.texts if text.startswith("42")]
        return [args for other, *args in found if other == name]

    @property
    def acks(self) -> list[int]:
        """The ids of those that have come."""
        return [int(text[2 : text.index("[")]) for text in self.texts if text.startswith("43")]

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                for opcode, payload in self._frames.feed(data):
                    assert self.code is None, "something behind the close frame"
                    if opcode == CLOSE:
                        self.code = int.from_bytes(payload[:2], "big")
                        self._writer.write(masked_frame(CLOSE, payload[:2]))
                    elif opcode == TEXT:
                        self.texts.append(payload.decode())
                self._news.set()
        finally:
            self._ended = True
            self._news.set()
            self._writer.close()


def serve(*arguments: str) -> ServerProcess:
    return ServerProcess(["serve", "supervised_app:io", "--port", "0", "--workers", "3", *arguments], HERE)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))
    return log


@pytest.mark.parametrize("loop", LOOPS)
def test_everybody_is_told_and_what_is_under_way_is_finished(loop: str, log: Path) -> None:
    async def scenario(server: ServerProcess) -> list[Client]:
        clients = [Client() for _ in range(CLIENTS)]
        async with asyncio.timeout(DEADLINE):
            for client in clients:
                await client.connect(server.port)
                client.send('42["work"]')
            for client in clients:
                await client.until_event("working")
            for client in clients:
                client.send(*(f'42{number}["echo",{number}]' for number in range(MESSAGES)))
            await clients[0].until(lambda: clients[0].acks)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*(client.reading for client in clients))
        return clients

    with serve("--loop", loop, "--grace", "20") as server:
        clients = asyncio.run(scenario(server))
        assert server.wait(DEADLINE) == 0
    assert len({client.events("working")[0][0] for client in clients}) == 3
    # Going away: come again.
    assert Counter(client.code for client in clients) == {1001: CLIENTS}
    for client in clients:
        assert client.acks == list(range(len(client.acks)))
    done = Counter(log.read_text())
    assert done["w"] == CLIENTS
    # What a handler has taken on, its client has the answer to.
    assert done["e"] == sum(len(client.acks) for client in clients) > 0
    output = "\n".join(server.lines)
    assert "Traceback" not in output, output
    assert "killing" not in output, output


def test_a_second_signal_stops_them_at_once(log: Path) -> None:
    async def scenario(server: ServerProcess) -> set[int]:
        clients = [Client() for _ in range(12)]
        async with asyncio.timeout(DEADLINE):
            for client in clients:
                await client.connect(server.port)
                client.send('42["hang"]')
                await client.until_event("hanging")
            server.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*(client.reading for client in clients))
        # They wait for the handlers.
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        return {client.events("hanging")[0][0] for client in clients}

    with serve("--grace", "1000") as server:
        pids = asyncio.run(scenario(server))
        assert server.wait(DEADLINE) == 1
    assert pids
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", ["0", "-1", "two", "5000", ""])
def test_a_number_of_workers_that_is_none(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "supervised_app:io", f"--workers={number}"])
    assert ended.value.code == 2
    assert f"{number!r} is not a number of workers (1 to 4096, or auto)" in capsys.readouterr().err
