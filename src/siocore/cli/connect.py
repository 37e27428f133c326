"""``siocore connect``: a session in which somebody types events and sees those of the server.

The network runs on trio in a thread of its own, so that heartbeats are answered while the main thread waits for a line.
Everything but the reading of lines happens there.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import trio

import siocore.trio
from siocore.cli.arguments import BadArgument, Command, Emission, parse_line, parse_value, parse_values
from siocore.cli.client_arguments import (
    DISCONNECTED,
    FAILED,
    INTERRUPTED,
    OK,
    TIMED_OUT,
    USAGE,
    Connection,
    add_client_arguments,
    complain,
    connection_from,
    explain,
    positive,
    style_for,
)
from siocore.cli.lines import Style, escape, show_all, show_name
from siocore.cli.listen import event_line, report_connection
from siocore.cli.terminal import Terminal, save_history
from siocore.client_events import ClientEvent
from siocore.errors import AckTimeout, BufferFull, ConnectError, Disconnected, LocalProtocolError
from siocore.socketio.acks import PendingAck
from siocore.socketio.client_socket import ClientSocket

__all__ = ["HELP", "add_connect", "run_connect"]

#: How many events that want to be acknowledged, and how many names of events, are remembered.
_MAX_WAITING = 100
_MAX_NAMES = 500

HELP = """\
  chat hello 1 {"a": [2]}   emits "chat": JSON, or words that stand for themselves; 'with spaces' is a string
  image @photo.png          with the content of a file as bytes
  echo hello ?              a question mark at the end asks for the acknowledgement
  /ack [#N] VALUE …         answers an event that wants one: the last, or number N
  /use /NAME [AUTH]         goes to another namespace over the same connection; AUTH is a JSON object
  /disconnect, /connect     leaves the namespace, and comes back
  /info                     what the connection is
  /help                     shows this
  /quit                     ends the session, as Ctrl-D does; Ctrl-C clears the line
An event whose name begins with a slash is written in double quotes: "/name"."""

_COMMANDS = ("/ack", "/connect", "/disconnect", "/help", "/info", "/quit", "/use")

_EPILOG = f"""\
lines:
{HELP}

Tab completes commands and names of events. From a pipe, lines are read to their end, and acknowledgements waited for.

exit codes: 0 done, 1 not connected, 2 options not understood; from a pipe, for the first line that failed: 2 not
understood, 3 no acknowledgement in time, 4 disconnected

example: siocore connect http://127.0.0.1:3000/admin --auth '{{"token": "x"}}'
"""


def add_connect(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = commands.add_parser(
        "connect",
        help="talk to a server: type events, see its events",
        description="Connect to a Socket.IO server, type events and see those of the server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_client_arguments(parser)
    parser.add_argument(
        "--timeout", type=positive, default=10.0, metavar="SECONDS", help="for acknowledgements (default: %(default)g)"
    )
    parser.add_argument("--full", action="store_true", help="cut no long values")
    parser.add_argument("--no-color", action="store_true", help="no colours (as does the environment's NO_COLOR)")


def run_connect(options: argparse.Namespace) -> int:
    """Returns the exit code. Raises UsageError."""
    connection = connection_from(options)
    session = _Session(connection, options)
    thread = threading.Thread(target=session.run, name="siocore connect", daemon=True)
    thread.start()
    try:
        session.started.wait()
        if session.failure is None:
            session.read_lines()
    except KeyboardInterrupt:
        session.code = INTERRUPTED
    finally:
        session.stop()
        thread.join()
        if session.terminal.interactive:
            save_history()
    if isinstance(session.failure, ConnectError):
        complain(explain(session.failure, connection.namespace))
        return FAILED
    if session.failure is not None:
        raise session.failure
    return session.code


class _Session:
    """One client, its sockets by namespace, and the lines that tell them what to do."""

    def __init__(self, connection: Connection, options: argparse.Namespace) -> None:
        self.connection = connection
        self.timeout: float = options.timeout
        self.full: bool = options.full
        self.terminal = Terminal(self._prompt, self._candidates)
        self.style: Style = style_for(options, os.environ, sys.stdout.isatty())
        self.code = OK
        #: Set when the first connection is there, or has failed.
        self.started = threading.Event()
        self.failure: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._sockets: dict[str, ClientSocket] = {}
        self._namespace = connection.namespace
        self._pumped: set[str] = set()
        self._asking = 0
        self._all_answered = trio.Event()
        #: Events that want an acknowledgement, by number, and the names that were seen.
        self._waiting: dict[int, ClientEvent] = {}
        self._number = 0
        self._names: dict[str, None] = {}

    # The main thread

    def read_lines(self) -> None:
        """Until the end of the input, ``/quit`` or the end of the network."""
        assert self._token is not None
        try:
            while True:
                try:
                    line = self.terminal.read()
                    if line is None:
                        break
                    if not trio.from_thread.run(self._take, line, trio_token=self._token):
                        return
                except KeyboardInterrupt:
                    # Of the line, or of the wait for what it does; that goes on.
                    if not self.terminal.interactive:
                        raise
            if not self.terminal.interactive:
                trio.from_thread.run(self._wait_for_answers, trio_token=self._token)
        except trio.RunFinishedError:
            pass

    def stop(self) -> None:
        """End the network; what is left to send is sent."""
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._scope.cancel)
            except trio.RunFinishedError:
                pass

    def _prompt(self) -> str:
        return "> " if self._namespace == "/" else f"{escape(self._namespace)}> "

    def _candidates(self, text: str) -> list[str]:
        """What the line may begin with. The network's thread adds names meanwhile: list() is one step."""
        if text.startswith("/use "):
            return [f"/use {name}" for name in list(self._sockets)]
        return [*_COMMANDS, *list(self._names)]

    # The network's thread

    def run(self) -> None:
        """All of the network."""
        try:
            trio.run(self._run)
        except BaseException as exc:
            self.failure = exc
        finally:
            self.started.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        failure: BaseException | None = None
        with self._scope:
            async with siocore.trio.open_client() as client, trio.open_nursery() as nursery:
                self._nursery = nursery
                socket = client.socket(self.connection.url, **{**self.connection.options, "auto_connect": False})
                try:
                    await self._adopt(socket).connect(retry=self.connection.retry)
                except ConnectError as exc:
                    # Raised below, because a nursery would wrap it in an exception group.
                    failure = exc
                    nursery.cancel_scope.cancel()
                else:
                    if self.terminal.interactive:
                        self._report("/help says what can be typed; Ctrl-D quits")
                    self._pump(socket)
                    self.started.set()
                    await trio.sleep_forever()
        if failure is not None:
            raise failure

    def _adopt(self, socket: ClientSocket) -> ClientSocket:
        self._sockets[socket.namespace] = socket
        report_connection(socket, self._report, retry=self.connection.retry)
        return socket

    def _pump(self, socket: ClientSocket) -> None:
        if socket.namespace not in self._pumped:
            self._pumped.add(socket.namespace)
            self._nursery.start_soon(self._show_events, socket)

    async def _show_events(self, socket: ClientSocket) -> None:
        """For as long as the socket is active; ``/connect`` starts it again."""
        try:
            async for event in socket.events():
                self._show_event(socket, event)
        finally:
            self._pumped.discard(socket.namespace)

    def _show_event(self, socket: ClientSocket, event: ClientEvent) -> None:
        self._remember(str(event.name))
        hint = ""
        if event.ack_id is not None:
            self._number += 1
            self._waiting[self._number] = event
            if len(self._waiting) > _MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            hint = f"[/ack #{self._number} VALUE … answers]"
        line = event_line(datetime.now(UTC), event.name, event.args, self.style, full=self.full, ack=hint)
        where = "" if len(self._sockets) == 1 else self.style.faint(f"{escape(socket.namespace)} ")
        self._show(where + line)

    async def _take(self, line: str) -> bool:
        """Do what a line says; whether another one may follow."""
        try:
            wanted = parse_line(line)
            if isinstance(wanted, Emission):
                await self._emit(wanted)
            elif wanted is not None:
                return await self._command(wanted)
        except BadArgument as exc:
            self._fail(USAGE, str(exc))
        except (LocalProtocolError, BufferFull) as exc:
            self._fail(FAILED, str(exc))
        return True

    async def _emit(self, emission: Emission) -> None:
        socket = self._sockets[self._namespace]
        if not socket.active:
            self._fail(DISCONNECTED, "not connected; /connect connects again")
            return
        self._remember(emission.name)
        if emission.ack:
            self._asking += 1
            self._nursery.start_soon(
                self._answered, emission.name, socket.emit_with_ack(emission.name, *emission.args, timeout=self.timeout)
            )
            return
        sent = socket.emit(emission.name, *emission.args)
        if not self.terminal.interactive:
            # A pipe can bring more than the network takes; whoever types should not be kept waiting.
            await sent
        elif not socket.connected:
            self._report("kept until the connection is back")

    async def _answered(self, name: str, pending: PendingAck) -> None:
        asked = trio.current_time()
        try:
            answer = await pending
        except AckTimeout:
            self._fail(TIMED_OUT, f"{show_name(name)} was not acknowledged within {self.timeout:g} seconds")
        except Disconnected:
            self._fail(DISCONNECTED, f"{show_name(name)} was not acknowledged: disconnected")
        else:
            values = answer if isinstance(answer, tuple) else () if answer is None else (answer,)
            took = self.style.faint(f"({(trio.current_time() - asked) * 1000:.0f} ms)")
            text = f"{self.style.good('ack')} {self.style.name(show_name(name))}"
            self._show(" ".join(filter(None, [text, show_all(values, full=self.full), took])))
        self._asking -= 1
        if not self._asking:
            self._all_answered.set()

    async def _wait_for_answers(self) -> None:
        while self._asking:
            self._all_answered = trio.Event()
            await self._all_answered.wait()

    async def _command(self, command: Command) -> bool:
        socket = self._sockets[self._namespace]
        match command.name:
            case "help" | "?":
                self._show(HELP)
            case "quit" | "exit":
                return False
            case "ack":
                self._acknowledge(command.rest)
            case "use":
                await self._use(command.rest)
            case "disconnect":
                socket.disconnect()
                self._report("disconnected")
            case "connect":
                await self._connect(socket)
            case "info":
                self._show(self._info(socket))
            case name:
                self._fail(USAGE, f"there is no command /{escape(name)}; /help lists them")
        return True

    async def _connect(self, socket: ClientSocket) -> None:
        if socket.connected:
            self._report("connected already")
            return
        try:
            await socket.connect()
        except (ConnectError, Disconnected) as exc:
            sentence = explain(exc, socket.namespace) if isinstance(exc, ConnectError) else "disconnected"
            self._fail(FAILED, sentence)
        if socket.active:
            self._pump(socket)

    async def _use(self, rest: str) -> None:
        name, _, auth = rest.partition(" ")
        if not name.startswith("/"):
            raise BadArgument("the name of a namespace begins with a slash, as in: /use /admin")
        value = parse_value(auth) if auth.strip() else None
        if value is not None and not isinstance(value, dict):
            raise BadArgument('what a namespace is joined with is a JSON object, as in: /use /admin {"token": "x"}')
        self._namespace = name
        socket = self._sockets.get(name)
        if socket is None:
            manager = next(iter(self._sockets.values())).manager
            socket = self._adopt(manager.socket(name, auth=value))
        elif value is not None:
            socket.auth = value
        await self._connect(socket)

    def _acknowledge(self, rest: str) -> None:
        number = None
        if rest.startswith("#"):
            word, _, rest = rest[1:].partition(" ")
            number = int(word) if word.isascii() and word.isdigit() else -1
        elif self._waiting:
            number = max(self._waiting)
        values = parse_values(rest)
        event = None if number is None else self._waiting.pop(number, None)
        if event is None:
            raise BadArgument("there is no such event that waits for an acknowledgement")
        event.acknowledge(*values)

    def _info(self, socket: ClientSocket) -> str:
        link = socket.link
        if link is None or not socket.connected:
            return f"namespace {escape(socket.namespace)}, not connected"
        return (
            f"namespace {escape(socket.namespace)}, id {escape(str(socket.id))}, {link.transport}, "
            f"Engine.IO {link.revision} at {socket.manager.target.origin}"
        )

    def _remember(self, name: str) -> None:
        shown = show_name(name)
        if len(name) <= 100 and (shown in self._names or len(self._names) < _MAX_NAMES):
            self._names[shown] = None

    def _report(self, sentence: str) -> None:
        """Tell what happens to the connection: it is not what somebody wants who reads our output from a pipe."""
        if self.terminal.interactive:
            self._show(self.style.faint(sentence))
        else:
            print(sentence, file=sys.stderr, flush=True)

    def _fail(self, code: int, sentence: str) -> None:
        """Tell it; from a pipe, the first failure is the exit code."""
        if not self.terminal.interactive:
            self.code = self.code or code
            complain(sentence)
        else:
            self._show(self.style.bad(sentence))

    def _show(self, text: str) -> None:
        self.terminal.show(text)
