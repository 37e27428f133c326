"""The command ``siocore``: what it understands, what it says, and how it stops."""

from __future__ import annotations

import http.client
import platform
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from peers.harness import LOOPS, ServerProcess, serve
from siocore import IMPLEMENTATION, EngineServer, Server, __version__
from siocore.cli import main
from siocore.cli.load import LoadError, load_application

APPLICATION = """\
import siocore

# A client that does not answer the close handshake is waited for: the tests of stopping decide how long.
io = siocore.Server(limits=siocore.Limits(close_timeout=600))
engine = siocore.EngineServer()
settings = {}


class holder:
    inner = io


@io.on("echo")
def echo(socket, *args):
    return args
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with application.py in it."""
    (tmp_path / "application.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "application", raising=False)
    return tmp_path


def handshake(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", f"{path}?EIO=4&transport=polling")
    response = connection.getresponse()
    answer = response.status, response.read()[:1]
    connection.close()
    return answer


def leave_the_close_handshake_unanswered(server: ServerProcess) -> socket.socket:
    """A WebSocket client that never answers a close frame, so that a graceful stop has to wait for it."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    client.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    received = b""
    while b'"sid"' not in received:
        received += client.recv(4096)
    return client


def read_until_closed(client: ClientConnection) -> ConnectionClosed:
    try:
        while True:
            client.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed


class TestUsage:
    def test_version_names_the_implementation_and_the_python(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(["--version"])
        assert stopped.value.code == 0
        assert (
            capsys.readouterr().out
            == f"siocore {__version__} ({IMPLEMENTATION}, CPython {platform.python_version()})\n"
        )

    def test_python_dash_m_siocore_is_the_same_command(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "siocore", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"siocore {__version__} ({IMPLEMENTATION}")

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["serve"],
            ["dance"],
            ["serve", "application:io", "--port", "65536"],
            ["serve", "application:io", "--port", "-1"],
            ["serve", "application:io", "--port", "x"],
            ["serve", "application:io", "--loop", "twisted"],
            ["serve", "application:io", "--grace", "nan"],
            ["serve", "application:io", "--grace", "-1"],
            ["demo", "--unix", "/tmp/x"],
        ],
    )
    def test_what_it_does_not_understand_ends_with_exit_code_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "usage: siocore" in capsys.readouterr().err

    def test_help_names_every_command_and_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        text = capsys.readouterr().out
        assert all(command in text for command in ("serve", "demo", "--version"))
        with pytest.raises(SystemExit):
            main(["serve", "--help"])
        text = capsys.readouterr().out
        for option in ("--host", "--port", "--unix", "--loop", "--tls-cert", "--tls-key", "--grace", "--log-level"):
            assert option in text


class TestLoading:
    @pytest.mark.usefixtures("folder")
    def test_an_application_is_found_in_the_current_folder(self) -> None:
        assert isinstance(load_application("application:io"), Server)
        assert isinstance(load_application("application:engine"), EngineServer)
        assert isinstance(load_application("application:holder.inner"), Server)

    @pytest.mark.parametrize("location", ["application", "application:", ":io", "./application:io", "a b:io", "a:b:c"])
    @pytest.mark.usefixtures("folder")
    def test_another_form_than_module_colon_attribute_is_a_usage_error(
        self, location: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve", location]) == 2
        assert "MODULE:ATTRIBUTE, for example chat:io" in capsys.readouterr().err

    def test_a_module_that_is_not_there_is_named_with_the_folder(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve", "nothing_here:io"]) == 1
        assert capsys.readouterr().err == (
            f"siocore: error: there is no module 'nothing_here' in {folder} or in the environment\n"
        )

    @pytest.mark.usefixtures("folder")
    def test_a_missing_attribute_lists_what_is_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve", "application:app"]) == 1
        assert capsys.readouterr().err == (
            "siocore: error: module 'application' has no attribute 'app'; there is application:engine, application:io\n"
        )

    @pytest.mark.usefixtures("folder")
    def test_something_else_than_an_application_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve", "application:settings"]) == 1
        assert "application:settings is a dict, not a siocore.Server" in capsys.readouterr().err

    def test_a_module_without_an_application_says_so(self, folder: Path) -> None:
        (folder / "empty_module.py").write_text("")
        with pytest.raises(LoadError, match="no application was found in 'empty_module'"):
            load_application("empty_module:io")

    def test_an_import_that_fails_inside_the_application_is_not_hidden(self, folder: Path) -> None:
        (folder / "needs_more.py").write_text("import something_that_is_not_installed\n")
        with pytest.raises(ModuleNotFoundError, match="something_that_is_not_installed"):
            load_application("needs_more:io")


class TestStarting:
    @pytest.mark.parametrize("loop", ["trio", "asyncio", "uvloop"])
    def test_serve_announces_where_and_how_it_serves(self, loop: str, folder: Path) -> None:
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        with serve("serve", "application:io", "--loop", loop, folder=folder) as server:
            assert server.lines[0] == f"siocore {__version__} ({IMPLEMENTATION}) on {loop}; Ctrl-C stops it"
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            assert handshake(connection, "/socket.io/") == (200, b"0")

    @pytest.mark.parametrize("loop", LOOPS)
    def test_an_engine_server_is_served_as_well(self, loop: str, folder: Path) -> None:
        with serve("serve", "application:engine", "--loop", loop, folder=folder) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            assert handshake(connection, "/engine.io/") == (200, b"0")

    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.usefixtures("folder")
    def test_a_port_in_use_is_reported_in_one_line(self, loop: str, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["serve", "application:io", "--loop", loop, "--port", str(port)]) == 1
        assert capsys.readouterr().err == (
            f"siocore: error: can't listen on 127.0.0.1:{port}: "
            "the port is in use; stop the other program or choose another port (0 for a free one)\n"
        )

    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.usefixtures("folder")
    def test_an_address_that_is_not_ours_is_reported_in_one_line(
        self, loop: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve", "application:io", "--loop", loop, "--host", "192.0.2.1"]) == 1
        message = capsys.readouterr().err
        assert message.startswith("siocore: error: can't listen on 192.0.2.1:3000: ")
        assert message.count("\n") == 1

    @pytest.mark.parametrize("loop", LOOPS)
    def test_a_unix_socket_is_served_and_removed_afterwards(self, loop: str, folder: Path) -> None:
        path = folder / "s"
        with serve("serve", "application:io", "--loop", loop, "--unix", str(path), folder=folder) as server:
            assert server.url == f"unix:{path}"
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(10)
            connection.sock.connect(str(path))
            assert handshake(connection, "/socket.io/") == (200, b"0")
        assert not path.exists()

    @pytest.mark.parametrize("loop", LOOPS)
    def test_a_certificate_turns_tls_on(self, loop: str, folder: Path) -> None:
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with serve("serve", "application:io", "--loop", loop, "--tls-cert", "both.pem", folder=folder) as server:
            assert server.url.startswith("https://127.0.0.1:")
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=context)
            assert handshake(connection, "/socket.io/") == (200, b"0")

    @pytest.mark.usefixtures("folder")
    def test_tls_files_that_do_not_fit_are_reported(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve", "application:io", "--tls-cert", "missing.pem"]) == 1
        assert "can't use missing.pem for TLS: No such file or directory" in capsys.readouterr().err
        assert main(["serve", "application:io", "--tls-cert", "application.py"]) == 1
        assert "can't use application.py for TLS: " in capsys.readouterr().err
        assert main(["serve", "application:io", "--tls-key", "key.pem"]) == 2
        assert "--tls-key needs --tls-cert" in capsys.readouterr().err


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("loop", ["trio", "asyncio", "uvloop"])
    def test_a_signal_stops_gracefully_and_tells_the_clients(
        self, loop: str, number: signal.Signals, folder: Path
    ) -> None:
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        with ServerProcess(["serve", "application:io", "--loop", loop, "--port", "0"], folder) as server:
            url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
            with connect(url, proxy=None, compression=None) as client:
                client.recv(timeout=10)
                client.send("40")
                client.recv(timeout=10)
                client.send('421["echo","last words"]')
                assert client.recv(timeout=10) == '431["last words"]'
                server.process.send_signal(number)
                closed = read_until_closed(client)
            assert closed.rcvd is not None
            assert server.wait() == 0
        assert not any("Traceback" in line for line in server.lines), server.lines

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("loop", ["trio", "asyncio", "uvloop"])
    def test_a_second_signal_stops_at_once(self, loop: str, number: signal.Signals, folder: Path) -> None:
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        arguments = ["serve", "application:io", "--loop", loop, "--port", "0", "--grace", "600"]
        with ServerProcess(arguments, folder) as server, leave_the_close_handshake_unanswered(server) as client:
            server.process.send_signal(number)
            assert client.recv(4096)
            assert server.stop(number) == -number

    @pytest.mark.parametrize("loop", LOOPS)
    def test_a_client_that_ignores_the_stop_is_cut_off_after_the_grace(self, loop: str, folder: Path) -> None:
        arguments = ["serve", "application:io", "--loop", loop, "--port", "0", "--grace", "0.2"]
        with ServerProcess(arguments, folder) as server, leave_the_close_handshake_unanswered(server):
            assert server.stop() == 0
