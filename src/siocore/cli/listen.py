"""``siocore listen``: print the events of a server, one a line."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import trio

import siocore.trio
from siocore.cli.client_arguments import (
    DISCONNECTED,
    FAILED,
    OK,
    TIMED_OUT,
    Connection,
    add_client_arguments,
    complain,
    connection_from,
    explain,
    positive,
    style_for,
)
from siocore.cli.lines import Style, escape, show_all, show_name, to_json
from siocore.client_events import ClientEvent
from siocore.errors import ConnectError
from siocore.socketio.client_socket import ClientSocket

__all__ = ["Output", "add_listen", "event_json", "event_line", "report_connection", "run_listen"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: What a pipe takes without waiting, where poll() says that it takes anything (POSIX: at least 512).
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)

_EPILOG = """\
Each event is a line: time, name, arguments. With --json, it is an object with "time" (UTC), "namespace", "event" and
"args", in which bytes are {"_bytes": "<base64>"}. What happens to the connection is told on standard error.

exit codes: 0 stopped, or --count events seen; 1 not connected; 2 not understood; 3 --timeout is over and there were
fewer than --count events; 4 the server has disconnected us, or can't be reached any more

example: siocore listen http://127.0.0.1:3000 --event 'chat message' --json | jq .args
"""


def add_listen(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = commands.add_parser(
        "listen",
        help="print the events of a server",
        description="Connect to a Socket.IO server and print its events, until Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_client_arguments(parser)
    parser.add_argument("--event", action="append", metavar="NAME", help="only events of this name; repeatable")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--count", type=_count, metavar="N", help="stop after N events")
    parser.add_argument("--timeout", type=positive, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--full", action="store_true", help="cut no long values")
    parser.add_argument("--quiet", action="store_true", help="nothing about the connection on standard error")
    parser.add_argument("--no-color", action="store_true", help="no colours (as does the environment's NO_COLOR)")


def run_listen(options: argparse.Namespace) -> int:
    """Returns the exit code. Raises UsageError."""
    connection = connection_from(options)
    # What the terminal's encoding can't say must not end the program.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    listener = _Listener(options, connection)
    try:
        return trio.run(listener.run)
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:
        # Whoever reads has enough, as in `siocore listen … | head`. Python's own flush at the end must not find it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ConnectError as exc:
        complain(explain(exc, connection.namespace))
        return FAILED


def event_line(
    time: datetime, name: object, args: list[Any], style: Style, *, full: bool = False, ack: str = ""
) -> str:
    """An event for people."""
    parts = [style.faint(time.astimezone().strftime("%H:%M:%S.%f")[:-3]), style.name(show_name(name))]
    if args:
        parts.append(show_all(args, full=full))
    if ack:
        parts.append(style.faint(ack))
    return " ".join(parts)


def event_json(time: datetime, namespace: str, name: object, args: list[Any]) -> str:
    """An event for programs."""
    stamp = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return to_json({"time": stamp, "namespace": namespace, "event": name, "args": args})


def report_connection(socket: ClientSocket, report: Callable[[str], None], *, retry: bool) -> None:
    """Call ``report`` with a sentence for whatever happens to the connection of ``socket``.

    A failure behind which nothing more is tried, and an end that was asked for, are left to whoever asked.
    Without ``retry``, so is the first failure.
    """
    tries_on = retry
    namespace = "" if socket.namespace == "/" else f" {escape(socket.namespace)}"

    @socket.on("connect")
    def connected() -> None:
        nonlocal tries_on
        tries_on = True
        recovered = ", with what was missed" if socket.recovered else ""
        report(f"connected{namespace} as {escape(str(socket.id))}{recovered}")

    @socket.on("disconnect")
    def disconnected(reason: str, detail: str) -> None:
        if reason == "io client disconnect":
            return
        more = f" ({escape(detail)})" if detail else ""
        after = "; connecting again" if socket.active else ""
        report(f"disconnected{namespace}: {escape(reason)}{more}{after}")

    @socket.on("connect_error")
    def failed(error: ConnectError) -> None:
        if tries_on and socket.active:
            report(f"{explain(error, socket.namespace)}; trying again")

    @socket.manager.on("reconnect_failed")
    def gave_up() -> None:
        report("no more attempts to connect")


class Output:
    """Writes lines to a stream that may be slow, while the connection's heartbeat goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLOUT)

    async def write(self, line: str) -> None:
        """Write and flush. Raises BrokenPipeError if nobody reads any more."""
        if len(line) < _PIPE_BUF // 4 and self._poll.poll(0):
            self._write(line)
        else:
            # Abandoned, not waited for, when the program is to stop and nobody reads.
            await trio.to_thread.run_sync(self._write, line, abandon_on_cancel=True)

    async def wait_until_nobody_reads(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` when the other end of a pipe is closed, which writing would notice at the next event only."""
        if stat.S_ISFIFO(os.fstat(self._stream.fileno()).st_mode):
            # The end that is written to is never readable: what wakes is the error.
            await trio.lowlevel.wait_readable(self._stream.fileno())
            stop()

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class _Listener:
    def __init__(self, options: argparse.Namespace, connection: Connection) -> None:
        self.options = options
        self.connection = connection
        self.names = set(options.event) if options.event else None
        self.output = Output(sys.stdout)
        self.style = style_for(options, os.environ, sys.stdout.isatty())

    async def run(self) -> int:
        """Until the count or the time is reached, a signal comes, or the server has enough of us."""
        code = OK
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(*_SIGNALS) as signals:
                nursery.start_soon(_cancel_at_signal, signals, nursery.cancel_scope)
                nursery.start_soon(self.output.wait_until_nobody_reads, nursery.cancel_scope.cancel)
                try:
                    code = await self._connect()
                except Exception as exc:
                    # Raised below, because a nursery would wrap it in an exception group.
                    failure = exc
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return code

    async def _connect(self) -> int:
        with trio.move_on_after(self.options.timeout or math.inf):
            async with siocore.trio.connect(
                self.connection.url, retry=self.connection.retry, auto_connect=False, **self.connection.options
            ) as socket:
                if not self.options.quiet:
                    report_connection(socket, self._report, retry=self.connection.retry)
                await socket.connect(retry=self.connection.retry)
                return await self._listen(socket)
        return OK if self.options.count is None else TIMED_OUT

    async def _listen(self, socket: ClientSocket) -> int:
        left = self.options.count
        async for event in socket.events():
            if self.names is not None and str(event.name) not in self.names:
                continue
            await self.output.write(self._line(socket.namespace, event))
            if left is not None:
                left -= 1
                if not left:
                    return OK
        return DISCONNECTED

    def _line(self, namespace: str, event: ClientEvent) -> str:
        now = datetime.now(UTC)
        if self.options.json:
            return event_json(now, namespace, event.name, event.args)
        return event_line(now, event.name, event.args, self.style, full=self.options.full)

    def _report(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)


async def _cancel_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    scope.cancel()


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of events")
    return number
