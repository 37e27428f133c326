"""siocore.trio.connect and siocore.asyncio.connect with servers of our own, over real sockets."""

from __future__ import annotations

import pytest

from client_harness import FreePort, binding, no_descriptor_left, run_loop, siocore_server
from driver_harness import each_host
from siocore import Server
from siocore.errors import ConnectError

__all__ = ["no_descriptor_left"]

pytestmark = pytest.mark.usefixtures("no_descriptor_left")


def echo_server() -> Server:
    io = Server()

    @io.on("echo")
    def echo(socket: object, *args: object) -> object:
        return list(args)

    return io


@each_host
@pytest.mark.parametrize("transports", [["polling", "websocket"], ["websocket"], ["polling"]], ids="-".join)
def test_a_socket_is_connected_and_answered(host: str, transports: list[str]) -> None:
    async def main() -> None:
        async with binding(host).connect(url, transports=transports) as socket:
            assert socket.connected
            assert await socket.emit_with_ack("echo", 1, b"\x00", timeout=10) == [1, b"\x00"]
        assert not socket.connected

    with siocore_server(echo_server()) as url:
        run_loop(host, main)


@each_host
def test_a_server_that_is_not_there_is_an_error_with_what_to_do(host: str) -> None:
    async def main() -> None:
        async with binding(host).connect(f"http://127.0.0.1:{port}"):
            raise AssertionError

    port = FreePort().address[1]
    with pytest.raises(ConnectError, match=f"127.0.0.1:{port}: connection refused; is the server running") as caught:
        run_loop(host, main)
    assert caught.value.transport
