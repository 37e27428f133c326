"""npm's clients behind a proxy that keeps them at no server, over a real Redis."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from peers.harness import HERE, ServerProcess, run_node, serve_asgi
from redis_servers import RedisServer

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def test_each_request_at_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        monkeypatch.setenv("SHARED_URL", redis.url)
        servers = [
            stack.enter_context(ServerProcess(["serve", "shared_app:io", "--port", "0", "--loop", loop], HERE))
            for loop in ("trio", "asyncio")
        ]
        # And one whose HTTP is not ours.
        asgi = stack.enter_context(serve_asgi("uvicorn", "shared_app:asgi"))
        assert run_node("shared_clients.js", *(str(server.port) for server in [*servers, asgi])) == {
            "polling": [],
            "upgrade": [],
            "late": [],
        }
        for server in servers:
            assert server.stop() == 0
            assert len(server.lines) < 12, server.lines
            assert "Traceback" not in "\n".join(server.lines)
