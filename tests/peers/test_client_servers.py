"""Our client against foreign servers: socket.io 4, 3, 2 and 1, python-socketio, and our own, over every transport."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trustme

import siocore.asyncio
import siocore.sync
import siocore.trio
from peers.client_features import SCENARIOS
from peers.client_scenarios import ALL, MODES, Peer
from peers.harness import HERE, LOOPS, ServerProcess, serve, serve_node
from siocore.errors import AckTimeout, ConnectError, Disconnected

pytestmark = pytest.mark.peer

TIMEOUT = 15.0
REVISIONS = {"v2": 3, "v1": 3}
#: What runs on both bindings; the others take turns, since they differ in nothing that a binding sees.
BOTH = ("v4",)


def cases() -> Iterator[Any]:
    for server in ALL:
        for mode_index, mode in enumerate(MODES):
            for loop_index, loop in enumerate(LOOPS):
                if server not in BOTH and (mode_index + loop_index) % 2:
                    continue
                for name, scenario in SCENARIOS.items():
                    if server in scenario.servers and mode in scenario.modes:
                        yield pytest.param(server, loop, mode, name, id=f"{server}-{loop}-{mode}-{name}")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def node_ports(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    with serve_node("servers.js", str(folder / "certificate.pem"), str(folder / "key.pem")) as ports:
        yield ports


@pytest.fixture(scope="module")
def python_socketio_ports() -> Iterator[dict[str, int]]:
    arguments = ["python_socketio_app:app", "--port", "0"]
    with ServerProcess(arguments, HERE, module="uvicorn", ready="Uvicorn running on") as server:
        yield {"python-socketio": server.port}
        # It is killed: asked to stop, it waits for the GETs of sessions that are over.
        assert not any("Traceback" in line for line in server.lines), "\n".join(server.lines)


@pytest.fixture(scope="module")
def own_ports() -> Iterator[dict[str, int]]:
    with serve("serve", "client_peer_app:io") as server:
        yield {"own": server.port}


@pytest.mark.parametrize(("server", "loop", "mode", "name"), list(cases()))
def test_client(
    server: str, loop: str, mode: str, name: str, request: pytest.FixtureRequest, authority: trustme.CA
) -> None:
    fixture = {"python-socketio": "python_socketio_ports", "own": "own_ports"}.get(server, "node_ports")
    ports = request.getfixturevalue(fixture)
    revision = REVISIONS.get(server, 4)
    trust = None
    if name == "tls_is_verified":
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
    scenario = SCENARIOS[name].run
    if loop == "trio":
        run_trio(scenario, Peer(server, ports, siocore.trio, mode, revision, trio.Event, trust))
    else:
        peer = Peer(server, ports, siocore.asyncio, mode, revision, asyncio.Event, trust)
        asyncio.run(within_asyncio(scenario, peer))


def run_trio(scenario: Callable[[Peer], Awaitable[None]], peer: Peer) -> None:
    async def main() -> None:
        with trio.fail_after(TIMEOUT):
            await scenario(peer)

    trio.run(main)


async def within_asyncio(scenario: Callable[[Peer], Awaitable[None]], peer: Peer) -> None:
    async with asyncio.timeout(TIMEOUT):
        await scenario(peer)


# The blocking client: the same core, so a short list ------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", ["v4", "v2", "python-socketio"])
def test_blocking_client(server: str, mode: str, request: pytest.FixtureRequest) -> None:
    fixture = "python_socketio_ports" if server == "python-socketio" else "node_ports"
    url = f"http://127.0.0.1:{request.getfixturevalue(fixture)[server]}"
    options = MODES[mode] | {"protocol": REVISIONS.get(server, 4), "reconnection_delay": 0.02}
    data = {"retry": False, "codes": [1, 2]}
    with (
        pytest.raises(ConnectError) as refusal,
        siocore.sync.connect(f"{url}/private", auth={"token": "wrong"}, **options),
    ):
        pass
    assert refusal.value.data == data
    with siocore.sync.connect(f"{url}/private", auth={"token": "s3cret"}, **options) as socket:
        seen = socket.emit_with_ack("whoami", timeout=TIMEOUT)
        assert (seen["namespace"], seen["id"]) == ("/private", socket.id)
        value = {"a": b"\x01", "list": [b"", "é", None, 1.5]}
        assert socket.emit_with_ack("echo", value, timeout=TIMEOUT) == value
        for number in range(200):
            socket.emit("collect", number)
        assert socket.emit_with_ack("collected", timeout=TIMEOUT) == list(range(200))
        socket.emit("count", 200)
        assert [socket.receive("number", timeout=TIMEOUT).args for _ in range(200)] == [[n] for n in range(200)]
        socket.on("question")(lambda number: (number + 1, b"\x02"))
        assert socket.emit_with_ack("ask me", 1, timeout=TIMEOUT) == [2, b"\x02"]
        with pytest.raises(AckTimeout):
            socket.emit_with_ack("say nothing", timeout=0.05)
        if server != "python-socketio":
            came_back(socket)
        socket.emit("disconnect me", False)
        with pytest.raises(Disconnected):
            socket.receive("never", timeout=TIMEOUT)


def came_back(socket: siocore.sync.Socket) -> None:
    """After a connection that broke."""
    ids: list[str | None] = []
    socket.on("connect")(lambda: ids.append(socket.id))
    first = socket.id
    socket.emit("cut")
    for _ in range(1_000):
        if ids:
            break
        socket.wait(0.01)
    assert ids == [socket.id]
    assert socket.id != first
    assert socket.emit_with_ack("echo", "back", timeout=TIMEOUT) == "back"
