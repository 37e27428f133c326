"""Clusters of real processes: siocore on trio, siocore on asyncio and Node.js, with npm's clients on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from peers.harness import HERE, ServerProcess, run_node, serve_node
from redis_servers import RedisServer

pytestmark = [pytest.mark.peer, pytest.mark.slow]

KINDS = ("classic", "dynamic", "static", "dynamic-private", "streams", "streams-sharded")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@contextmanager
def cluster(kind: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ports of its three servers."""
    redis.command("FLUSHALL")
    monkeypatch.setenv("CLUSTER_KIND", kind)
    monkeypatch.setenv("CLUSTER_URL", redis.url)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(["serve", "cluster_app:io", "--port", "0", "--loop", loop], HERE))
            for loop in ("trio", "asyncio")
        ]
        node = stack.enter_context(serve_node("cluster_node.js", kind, redis.url))
        yield [*(str(server.port) for server in servers), str(node["node"])]
        for server in servers:
            assert server.stop() == 0
            assert "Traceback" not in "\n".join(server.lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_from_every_server_reaches_the_clients_of_all(
    kind: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(kind, redis, monkeypatch) as ports:
        results = run_node("cluster_clients.js", kind, *ports)
    assert results["failures"] == []
    assert results["checks"] > 150


def test_a_thousand_clients_of_three_servers_hear_each_broadcast_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster("classic", redis, monkeypatch) as ports:
        results = run_node("cluster_load.js", *ports)
    assert results == {"wrong": 0, "found": 1_000}
