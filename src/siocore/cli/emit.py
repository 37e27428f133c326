"""``siocore emit``: connect, emit one event, print the acknowledgement, leave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, BinaryIO

import trio

import siocore.trio
from siocore.cli.arguments import BadArgument, parse_word
from siocore.cli.client_arguments import (
    DISCONNECTED,
    FAILED,
    INTERRUPTED,
    OK,
    TIMED_OUT,
    Connection,
    UsageError,
    add_client_arguments,
    complain,
    connection_from,
    explain,
    positive,
)
from siocore.cli.lines import show, to_json
from siocore.errors import AckTimeout, BufferFull, ConnectError, Disconnected, LocalProtocolError

__all__ = ["add_emit", "run_emit"]

_EPILOG = """\
A value is JSON, or a word that stands for itself: true, 1.5, '{"a": [1]}' and '"1"' are JSON, hello is a string.
@file is the content of a file as bytes, - is standard input understood as a value, @- its bytes. Bytes within JSON,
of values and acknowledgements alike, are {"_bytes": "<base64>"}. Put -- before values that begin with a dash.

exit codes: 0 done, 1 not connected, 2 not understood, 3 no acknowledgement in time, 4 disconnected before it came

example: siocore emit http://127.0.0.1:3000/admin announce '"all"' '{"text": "tea"}' --ack --auth '{"token": "x"}'
"""


def add_emit(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = commands.add_parser(
        "emit",
        help="emit one event to a server",
        description="Connect to a Socket.IO server, emit one event and leave.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_client_arguments(parser)
    parser.add_argument("event", metavar="EVENT", help="the event's name")
    parser.add_argument("values", nargs="*", metavar="VALUE", help="its arguments, see below")
    parser.add_argument("--ack", action="store_true", help="wait for the acknowledgement and print it as JSON")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=10.0,
        metavar="SECONDS",
        help="for the acknowledgement (default: %(default)g)",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write an acknowledgement that is bytes to FILE (- for stdout)"
    )


def run_emit(options: argparse.Namespace) -> int:
    """Returns the exit code. Raises :exc:`UsageError`."""
    connection = connection_from(options)
    try:
        args = _parse(options.values, sys.stdin.buffer)
    except BadArgument as exc:
        raise UsageError(str(exc)) from None
    wants_ack = options.ack or options.output is not None
    try:
        answer = trio.run(_emit, connection, options.event, args, options.timeout if wants_ack else None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConnectError as exc:
        complain(explain(exc, connection.namespace))
        return FAILED
    except AckTimeout:
        complain(f"no acknowledgement within {options.timeout:g} seconds; --timeout sets another time")
        return TIMED_OUT
    except Disconnected:
        complain("disconnected before the acknowledgement came")
        return DISCONNECTED
    except (LocalProtocolError, BufferFull) as exc:
        complain(str(exc))
        return FAILED
    return _print(answer, options.output) if wants_ack else OK


def _parse(words: list[str], stdin: BinaryIO) -> list[Any]:
    if sum(word in ("-", "@-") for word in words) > 1:
        raise BadArgument("standard input can be one value only")
    return [parse_word(word, stdin) for word in words]


async def _emit(connection: Connection, event: str, args: list[Any], timeout: float | None) -> Any:
    # A second connection would know nothing of the acknowledgement: what is lost stays lost.
    async with siocore.trio.connect(
        connection.url, retry=connection.retry, reconnection=connection.retry, **connection.options
    ) as socket:
        if timeout is not None:
            return await socket.emit_with_ack(event, *args, timeout=timeout)
        await socket.emit(event, *args)
    return None


def _print(answer: object, output: str | None) -> int:
    """``answer`` is nothing, a value, or a tuple of several."""
    if output is None:
        print(to_json(answer))
        return OK
    if not isinstance(answer, bytes):
        complain(f"the acknowledgement is {show(answer)}, not bytes; without --output it is printed")
        return FAILED
    try:
        if output == "-":
            sys.stdout.buffer.write(answer)
            sys.stdout.buffer.flush()
        else:
            Path(output).write_bytes(answer)
    except OSError as exc:
        complain(f"can't write {output}: {exc.strerror}")
        return FAILED
    return OK
