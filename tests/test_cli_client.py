"""``siocore emit``, ``siocore listen`` and ``siocore connect`` with a server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from peers.harness import ServerProcess, serve
from siocore.cli import main

APPLICATION = r"""
import siocore

io = siocore.Server()


@io.on("connection")
def connected(socket):
    socket.emit("welcome", 1, {"a": [b"\x00\xff", None]})
    socket.emit("evil \x1b[31m", "\x1b]0;title\x07\x9b1m")


@io.on("echo")
def echo(socket, *args):
    return args


@io.on("kick")
def kick(socket):
    socket.disconnect()


@io.on("ask")
async def ask(socket):
    try:
        socket.emit("asked", await socket.emit_with_ack("question", "tea?", timeout=30))
    except siocore.Disconnected:
        pass


@io.on("say")
def say(socket, *args):
    print("heard", *args)


async def refuse(socket):
    if socket.handshake.auth.get("token") != "s3cret":
        raise siocore.ConnectionRefused("not authorized", data={"retry": False})


io.of("/admin").use(refuse)
io.of("/admin").on("echo")(echo)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "application.py").write_text(APPLICATION)
    with serve("serve", "application:io", folder=folder) as process:
        yield process


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "siocore", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


class TestEmit:
    @pytest.mark.parametrize(
        ("values", "answer"),
        [
            ([], "null"),
            (["hello"], '"hello"'),
            (["[1]"], "[1]"),
            (["1", "two"], '[1,"two"]'),
            (['{"_bytes": "AP8="}'], '{"_bytes":"AP8="}'),
            (["\x1b[31m"], '"\\u001b[31m"'),
            (["--", "-x"], '"-x"'),
        ],
    )
    def test_the_acknowledgement_is_printed_as_json(
        self, values: list[str], answer: str, server: ServerProcess, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["emit", server.url, "--ack", "echo", *values]) == 0
        assert capsys.readouterr().out == answer + "\n"

    def test_options_may_stand_between_the_values(
        self, server: ServerProcess, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["emit", server.url, "echo", "--ack", "1", "-2"]) == 0
        assert capsys.readouterr().out == "[1,-2]\n"
        for unknown in ("-x", "--nonsense"):
            with pytest.raises(SystemExit) as stopped:
                main(["emit", server.url, "echo", "--ack", unknown])
            assert stopped.value.code == 2

    def test_without_ack_the_event_arrives_before_we_leave(self, server: ServerProcess) -> None:
        assert main(["emit", server.url, "say", "it is me", "42"]) == 0
        server.wait_for_line("heard it is me 42")

    def test_bytes_go_from_a_file_into_a_file(
        self, server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sent, received = tmp_path / "sent", tmp_path / "received"
        sent.write_bytes(bytes(range(256)))
        assert main(["emit", server.url, "echo", f"@{sent}", "--output", str(received)]) == 0
        assert received.read_bytes() == bytes(range(256))
        assert main(["emit", server.url, "echo", "text", "--output", str(received)]) == 1
        assert capsys.readouterr() == (
            "",
            'siocore: error: the acknowledgement is "text", not bytes; without --output it is printed\n',
        )

    @pytest.mark.parametrize("transports", ["polling", "websocket"])
    def test_standard_input_is_a_value(self, transports: str, server: ServerProcess) -> None:
        process = start(
            "emit", server.url, "echo", "-", "--ack", "--transports", transports, stdin=subprocess.PIPE, cwd="/"
        )
        assert process.communicate('{"a": "ü"}\n', timeout=30) == ('{"a":"ü"}\n', "")

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["silence", "--ack", "--timeout", "0.05"], 3, "no acknowledgement within 0.05 seconds"),
            (["kick", "--ack"], 4, "disconnected before the acknowledgement came"),
            (["echo", "--namespace", "/nope"], 1, "the server refused namespace /nope: Invalid namespace"),
            (["echo", "--namespace", "/admin"], 1, 'not authorized (data: {"retry": false})'),
            (["echo", "--path", "/x"], 1, "404"),
            (["connect"], 1, "connect"),
            (["echo", "{a}"], 2, "not JSON: {a}"),
            (["echo", "-", "@-"], 2, "standard input can be one value only"),
        ],
    )
    def test_what_fails_has_its_exit_code_and_one_line(
        self, arguments: list[str], code: int, message: str, server: ServerProcess, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["emit", server.url, *arguments]) == code
        out, error = capsys.readouterr()
        assert out == ""
        assert message in error
        assert error.startswith("siocore: error: ")
        assert error.count("\n") == 1

    def test_nobody_there_asks_whether_the_server_runs(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["emit", "http://127.0.0.1:1", "x"]) == 1
        assert "is the server running?" in capsys.readouterr().err

    def test_auth_lets_in(self, server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["echo", "1", "--ack", "--namespace", "/admin", "--auth", '{"token": "s3cret"}']
        assert main(["emit", server.url, *arguments]) == 0
        assert capsys.readouterr().out == "1\n"


class TestListen:
    def test_events_are_lines(self, server: ServerProcess, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["listen", server.url, "--count", "2"]) == 0
        out, error = capfd.readouterr()
        lines = [re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", line) for line in out.splitlines()]
        assert lines == [
            'welcome 1 {"a": [<2 bytes: 00ff>, null]}',
            '"evil \\u001b[31m" "\\u001b]0;title\\u0007\\u009b1m"',
        ]
        assert re.fullmatch(r"connected as \S{20}\n", error)

    def test_json_is_an_object_a_line(self, server: ServerProcess, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["listen", server.url, "--count", "2", "--json", "--quiet"]) == 0
        out, error = capfd.readouterr()
        first, second = map(json.loads, out.splitlines())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
        assert first == {"namespace": "/", "event": "welcome", "args": [1, {"a": [{"_bytes": "AP8="}, None]}]}
        assert (second["event"], second["args"]) == ("evil \x1b[31m", ["\x1b]0;title\x07\x9b1m"])
        assert "\x1b" not in out
        assert error == ""

    def test_names_choose_events(self, server: ServerProcess, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["listen", server.url, "--count", "1", "--event", "x", "--event", "evil \x1b[31m"]) == 0
        assert "welcome" not in capfd.readouterr().out

    def test_time_is_a_bound(self, server: ServerProcess) -> None:
        arguments = ["listen", server.url, "--event", "never", "--timeout", "0.05"]
        assert main([*arguments, "--count", "1"]) == 3
        assert main(arguments) == 0

    def test_a_server_that_is_not_there_is_an_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["listen", "http://127.0.0.1:1"]) == 1
        assert capfd.readouterr().err.count("\n") == 1

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_well(self, number: signal.Signals, server: ServerProcess) -> None:
        process = start("listen", server.url)
        assert process.stdout is not None
        assert "welcome" in process.stdout.readline()
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out.count("\n") <= 1
        assert re.fullmatch(r"connected as \S+\n", error)

    def test_it_ends_quietly_when_nobody_reads_any_more(self, server: ServerProcess) -> None:
        process = start("listen", server.url)
        assert process.stdout is not None
        assert process.stderr is not None
        assert "welcome" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert re.fullmatch(r"connected as \S+\n", process.stderr.read())
        process.stderr.close()

    def test_it_connects_again_and_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "application.py").write_text(APPLICATION)
        with ServerProcess(["serve", "application:io", "--port", "0"], tmp_path) as first:
            process = start("listen", first.url, "--count", "2", "--event", "welcome")
            assert process.stdout is not None
            assert "welcome" in process.stdout.readline()
            first.stop()
        with ServerProcess(["serve", "application:io", "--port", str(first.port)], tmp_path) as second:
            out, error = process.communicate(timeout=30)
            second.stop()
        assert process.returncode == 0
        assert "welcome" in out
        assert "disconnected: transport close" in error
        assert "connecting again" in error
        assert error.count("connected as") == 2


class TestConnectFromAPipe:
    def run(self, server: ServerProcess, text: str, *arguments: str) -> tuple[int, str, str]:
        process = start("connect", server.url, *arguments, stdin=subprocess.PIPE)
        out, error = process.communicate(text, timeout=30)
        return process.returncode, out, error

    def test_lines_are_read_to_the_end_and_answers_waited_for(self, server: ServerProcess) -> None:
        code, out, error = self.run(server, "say \"from a pipe\"\necho 1 'a b' ?\necho ?\n")
        assert code == 0
        assert re.search(r'^ack echo 1 "a b" \(\d+ ms\)$', out, re.MULTILINE)
        assert re.search(r"^ack echo \(\d+ ms\)$", out, re.MULTILINE)
        assert re.fullmatch(r"connected as \S+\n", error)
        assert "\x1b" not in out
        server.wait_for_line("heard from a pipe")

    @pytest.mark.parametrize(
        ("text", "code", "message"),
        [
            ("echo {a}\necho 1 ?\n", 2, "not JSON: {a}"),
            ("/dance\n", 2, "there is no command /dance"),
            ("/ack 1\n", 2, "no such event that waits"),
            ("/use admin\n", 2, "begins with a slash"),
            ("/use /admin\n", 1, "not authorized"),
            ("disconnect\n", 1, "disconnect"),
            ("silence ?\n", 3, "silence was not acknowledged within 0.5 seconds"),
            ("kick ?\n", 4, "kick was not acknowledged: disconnected"),
        ],
    )
    def test_the_first_failure_is_the_exit_code(
        self, text: str, code: int, message: str, server: ServerProcess
    ) -> None:
        failed, _, error = self.run(server, text, "--timeout", "0.5")
        assert failed == code
        assert message in error
        assert "Traceback" not in error

    def test_a_refusal_ends_it(self, server: ServerProcess) -> None:
        code, out, error = self.run(server, "echo 1\n", "--namespace", "/admin")
        assert (code, out) == (1, "")
        assert error == 'siocore: error: the server refused namespace /admin: not authorized (data: {"retry": false})\n'


class Typist:
    """Somebody at a terminal."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.file, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C until something comes of it: a signal between two waits of readline is seen at the next key."""
        for _ in range(30):
            self.type("\x03")
            if select.select([self.file], [], [], 1.0)[0]:
                return

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for what matches, and forget all up to its end."""
        deadline = time.monotonic() + 30
        while (match := re.search(pattern, self.text)) is None:
            ready, _, _ = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come: {self.text!r}"
            try:
                data = os.read(self.file, 65536)
            except OSError:
                data = b""
            assert data, f"the session ended, and {pattern!r} did not come: {self.text!r}"
            self.text += data.decode()
        self.text = self.text[match.end() :]
        return match


@contextmanager
def typing(server: ServerProcess, folder: Path, *arguments: str, **environment: str) -> Iterator[Typist]:
    """A session at a terminal; it must end well when the block ends, if it has not before."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "siocore", "connect", server.url, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", "XDG_STATE_HOME": str(folder)}
        | environment,
        start_new_session=True,
        # Ctrl-C is a signal for those whose terminal it is.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Typist(mine)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(mine)


class TestConnectAtATerminal:
    def test_a_session(self, server: ServerProcess, tmp_path: Path) -> None:
        with typing(server, tmp_path) as typist:
            typist.expect(r"connected as \S{20}")
            typist.expect("/help says what can be typed")
            typist.expect(r"welcome.* 1 \{")
            typist.expect(r'"evil \\u001b\[31m"')
            typist.type("ask\n")
            typist.expect(r"question\S* \"tea\?\".*\[/ack #1 VALUE … answers\]")
            typist.type("/ack #7 no\n")
            typist.expect("there is no such event that waits")
            typist.type("/ack yes\n")
            typist.expect('asked.* "yes"')
            typist.type("/ack twice\n")
            typist.expect("there is no such event that waits")
            typist.type("echo 1 ?\n")
            typist.expect(r"ack.*echo\S* 1 ")
            typist.type("echo {bad ?\n")
            typist.expect("not JSON: {bad")
            typist.expect("> ")
            typist.type("half a line")
            typist.expect("half a line")
            typist.interrupt()
            typist.expect("> ")
            typist.type("/info\n")
            typist.expect(r"namespace /, id \S+, websocket, Engine.IO 4 at http://127.0.0.1:")
            typist.type("/use /admin\n")
            typist.expect("not authorized")
            typist.type('/use /admin {"token": "s3cret"}\n')
            typist.expect("connected /admin as")
            typist.expect("/admin> ")
            typist.type("ec\t")
            typist.expect("echo ")
            typist.type("'the admin' ?\n")
            typist.expect(r"ack.*echo\S* \"the admin\"")
            typist.type("/disconnect\n")
            typist.expect("disconnected")
            typist.type("echo\n")
            typist.expect("not connected; /connect connects again")
            typist.type("/connect\n")
            typist.expect("connected /admin as")
            typist.type("/help\n")
            typist.expect("/quit +ends the session")
            # Before the prompt, the terminal would not pass it on as a key.
            typist.expect("> ")
            typist.type("\x04")
        history = tmp_path / "siocore" / "history"
        assert "ask\n" in history.read_text()
        assert history.stat().st_mode & 0o77 == 0

    def test_a_server_that_disconnects_is_told_about(self, server: ServerProcess, tmp_path: Path) -> None:
        with typing(server, tmp_path, NO_COLOR="1") as typist:
            typist.expect("Ctrl-D quits")
            typist.type("kick\n")
            typist.expect("disconnected: io server disconnect")
            typist.type("/connect\n")
            typist.expect("connected as")
            typist.type("/quit\n")
            typist.expect("/quit")
            assert "\x1b[1;36m" not in typist.text
