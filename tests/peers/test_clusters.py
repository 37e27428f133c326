"""Clusters of real processes: siocore on trio, siocore on asyncio and Node.js, with npm's clients on each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from peers.harness import HERE, ServerProcess, run_node, serve_node
from redis_servers import RedisServer

pytestmark = [pytest.mark.peer, pytest.mark.slow]

KINDS = ("classic", "dynamic", "static", "dynamic-private", "streams", "streams-sharded")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_from_every_server_reaches_the_clients_of_all(
    kind: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.command("FLUSHALL")
    monkeypatch.setenv("CLUSTER_KIND", kind)
    monkeypatch.setenv("CLUSTER_URL", redis.url)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(["serve", "cluster_app:io", "--port", "0", "--loop", loop], HERE))
            for loop in ("trio", "asyncio")
        ]
        node = stack.enter_context(serve_node("cluster_node.js", kind, redis.url))
        results = run_node("cluster_clients.js", kind, *(str(server.port) for server in servers), str(node["node"]))
        for server in servers:
            assert server.stop() == 0
            assert "Traceback" not in "\n".join(server.lines)
    assert results["failures"] == []
    assert results["checks"] > 150
    assert os.environ["CLUSTER_KIND"] == kind
