"""Socket.IO beside web frameworks, as the examples mount it, on ASGI servers that people use them with."""

from __future__ import annotations

import importlib.util
import json
from urllib.request import Request, urlopen

import pytest

from peers.harness import serve_asgi
from test_examples import EXAMPLES, Client, websocket

#: The example, the package that it needs, the ASGI server, and what the framework answers at "/".
MOUNTED = [
    ("asgi_starlette", "starlette", "uvicorn", "hello"),
    ("asgi_starlette", "starlette", "hypercorn-trio", "hello"),
    ("asgi_litestar", "litestar", "granian", "hello"),
    ("asgi_quart", "quart_trio", "hypercorn-trio", "hello"),
]


def fetch(url: str, body: str | None = None, method: str | None = None) -> str:
    request = Request(url, None if body is None else body.encode(), method=method)
    with urlopen(request, timeout=20) as response:
        text: str = response.read().decode()
        return text


@pytest.mark.parametrize(("example", "package", "server", "home"), MOUNTED, ids=lambda value: value)
def test_an_example_serves_its_framework_and_socket_io(example: str, package: str, server: str, home: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with serve_asgi(server, f"{example}:app", folder=EXAMPLES) as process:
        base = process.url
        assert fetch(f"{base}/") == home
        with websocket(process.port) as raw:
            client = Client(raw)
            raw.send("40")
            client.expect("40")
            raw.send('421["echo",{"a":[1,2]}]')
            assert client.expect("431") == [{"a": [1, 2]}]
        polling = f"{base}/socket.io/?EIO=4&transport=polling"
        session = f"{polling}&sid={json.loads(fetch(polling)[1:])['sid']}"
        assert fetch(session, "40") == "ok"
        assert fetch(session).startswith("40{")
        assert fetch(session, '422["echo","é"]') == "ok"
        assert fetch(session) == '432["é"]'
        assert fetch(session, "1") == "ok"


def test_asgi_fastapi_emits_from_an_endpoint() -> None:
    if importlib.util.find_spec("fastapi") is None:
        pytest.skip("fastapi is not installed")
    with serve_asgi("uvicorn", "asgi_fastapi:app", folder=EXAMPLES) as process, websocket(process.port) as raw:
        client = Client(raw)
        raw.send("40")
        sid = client.expect("40")["sid"]
        assert client.expect("42") == ["welcome", sid]
        assert fetch(f"{process.url}/announce?text=tea", method="POST") == '{"listeners":1}'
        assert client.expect("42") == ["announcement", "tea"]
        raw.send('420["chat message","hello"]')
        assert client.expect("42") == ["chat message", sid, "hello"]
        assert client.expect("430") == ["delivered"]
        assert "openapi" in fetch(f"{process.url}/openapi.json")
