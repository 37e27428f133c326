"""``siocore serve --app``: what it loads, what it says, and how a start that fails ends."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

import pytest

from peers.harness import LOOPS, serve
from siocore.cli import main
from siocore.cli.load import load_hosted

APPLICATION = """\
import siocore

io = siocore.Server()
engine = siocore.EngineServer()
settings = {}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def broken(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def make_app():
    return app


class Instance:
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)


instance = Instance()
"""

NO_APPLICATION = "can't be called with (scope, receive, send), so it is not an ASGI application"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with hosting_application.py in it."""
    (tmp_path / "hosting_application.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "hosting_application", raising=False)
    return tmp_path


def fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


@pytest.mark.parametrize("loop", LOOPS)
def test_serve_says_which_paths_go_where(loop: str, folder: Path) -> None:
    where = ("hosting_application:engine", "--app", "hosting_application:app", "--loop", loop)
    with serve("serve", *where, folder=folder) as server:
        assert "/engine.io/ is Engine.IO, other paths go to hosting_application:app" in server.lines
        assert fetch(server.port, "/a/b") == b"/a/b"
        assert fetch(server.port, "/engine.io/?EIO=4&transport=polling")[:1] == b"0"


@pytest.mark.usefixtures("folder")
def test_functions_and_instances_are_applications() -> None:
    for name in ("app", "instance"):
        assert callable(load_hosted(f"hosting_application:{name}"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("io", "hosting_application:io is a Server; --app takes the ASGI application beside it"),
        ("settings", "hosting_application:settings is a dict, which can't be called, so not an ASGI application"),
        (
            "make_app",
            f"hosting_application:make_app {NO_APPLICATION}; if it makes the application, call it in the module",
        ),
        ("Instance", f"hosting_application:Instance {NO_APPLICATION}"),
    ],
)
def test_what_is_no_application_is_refused(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "hosting_application:io", "--app", f"hosting_application:{name}"]) == 1
    assert capsys.readouterr().err == f"siocore: error: {message}\n"


@pytest.mark.usefixtures("folder")
def test_an_application_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "hosting_application:io", "--app", "hosting_application:nothing"]) == 1
    assert "module 'hosting_application' has no attribute 'nothing'" in capsys.readouterr().err
    assert main(["serve", "hosting_application:io", "--app", "hosting_application"]) == 2


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_failed_start_is_one_line(loop: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["hosting_application:io", "--app", "hosting_application:broken", "--port", "0", "--loop", loop]
    assert main(["serve", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err == "siocore: error: the hosted application failed to start: no database\n"
    assert "listening" not in printed.out
