"""A client's driver makes the connections that its endpoint asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_harness import FreePort, Peer, no_descriptor_left, play, serving
from driver_harness import each_host
from line_client import DialFailed, LineClientApp

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


def echo(peer: Peer) -> None:
    while line := peer.line():
        peer.send(line + "\n")


@each_host
def test_lines_are_answered(host: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = app.protocol.connect(address)
        connection.send("early")
        await connection.opened()
        assert await connection.line() == "early"
        assert await connection.ask("hello") == "hello"
        connection.close()
        await connection.gone()
        assert connection.log == ["connected", "eof", "lost"]

    with serving(echo) as address:
        play(host, app, scenario)


@each_host
@pytest.mark.parametrize("name", ["localhost", "::1", "127.0.0.1"])
def test_names_and_addresses_are_connected_to(host: str, name: str) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = await app.protocol.connect((name, address[1])).opened()
        assert await connection.ask("hello") == "hello"

    with serving(echo, host="::1" if name == "::1" else "127.0.0.1") as address:
        play(host, app, scenario)


@each_host
def test_a_unix_socket_is_connected_to(host: str, tmp_path: Path) -> None:
    app = LineClientApp()

    async def scenario() -> None:
        connection = await app.protocol.connect(address).opened()
        assert await connection.ask("hello") == "hello"

    with serving(echo, unix_path=str(tmp_path / "socket")) as address:
        play(host, app, scenario)


@each_host
def test_a_refused_port_says_so_and_what_to_do(host: str) -> None:
    app = LineClientApp()
    free = FreePort()

    async def scenario() -> None:
        with pytest.raises(DialFailed) as caught:
            await app.protocol.connect(free.address).opened()
        assert (
            str(caught.value)
            == f"could not connect to 127.0.0.1:{free.address[1]}: connection refused; is the server running?"
        )

    play(host, app, scenario)
