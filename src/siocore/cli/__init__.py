"""The command ``siocore``: serve an application, run the demo, talk to a server, say which version this is.

Exit codes: 0 after a stop by signal, 2 for a command that can't be understood, 1 for anything else that fails; those
that connect have some more.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import replace

from siocore._speedups import IMPLEMENTATION
from siocore._version import __version__
from siocore.application.server import use_by_default
from siocore.cli.client_arguments import UsageError
from siocore.cli.connect import add_connect, run_connect
from siocore.cli.emit import add_emit, run_emit
from siocore.cli.listen import add_listen, run_listen
from siocore.cli.load import LoadError, load_application, load_hosted
from siocore.cli.run import LOOPS, Settings, StartError, run
from siocore.cli.supervisor import place_of_this_process, supervise
from siocore.cluster.mesh import MeshCluster
from siocore.options import MAX_WORKERS

__all__ = ["main"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (default: those of the process); returns its exit code."""
    options = _parse(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (LoadError, StartError, UsageError) as exc:
        print(f"siocore: error: {exc}", file=sys.stderr)
        return exc.exit_code


def _serve(options: argparse.Namespace) -> int:
    place = place_of_this_process()
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings(
        host=options.host,
        port=options.port,
        unix_path=options.unix,
        loop=options.loop,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        webtransport_cert=options.webtransport_cert,
        webtransport_key=options.webtransport_key,
        grace=options.grace,
        app_name=options.app or "",
    )
    if options.workers > 1 and place is None:
        return supervise(options.arguments, settings, options.workers)
    if place is not None:
        use_by_default(MeshCluster)
    if options.app is not None:
        settings = replace(settings, app=load_hosted(options.app))
    if options.command == "demo":
        from siocore.demo import make_demo

        return run(make_demo(), settings, place)
    return run(load_application(options.application), settings, place)


# What argparse takes for a positional argument.
_POSITIONAL = re.compile(r"-|-\d+|-\d*\.\d+|(?!-).*", re.DOTALL)
_COMMANDS = {"serve": _serve, "demo": _serve, "connect": run_connect, "emit": run_emit, "listen": run_listen}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    if rest and options.command == "emit" and all(_POSITIONAL.fullmatch(word) for word in rest):
        # argparse takes all positional arguments at once, or none: these came behind an option.
        options.values += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    version = f"siocore {__version__} ({IMPLEMENTATION}, {python})"
    parser = argparse.ArgumentParser(
        prog="siocore", description="Socket.IO and Engine.IO for Python: servers and clients."
    )
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve an application",
        description="Serve a siocore.Server or siocore.EngineServer until SIGINT or SIGTERM. The first signal stops "
        "gracefully: no new clients, the others are told and their output is sent. A second one stops at once.",
        epilog="example: siocore serve chat:io --port 3000",
    )
    serve.add_argument("application", metavar="MODULE:ATTRIBUTE", help="where it is, for example chat:io")
    serve.add_argument(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        help="an ASGI application (FastAPI, Starlette, ...) for every path that is not MODULE:ATTRIBUTE's own",
    )
    serve.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="how many processes serve together on the port, or auto: one for each CPU (default: %(default)s). They "
        "pass messages and connections to each other: no Redis and no sticky load balancer is needed",
    )
    where = serve.add_argument_group("where to listen")
    _add_address(where)
    where.add_argument("--unix", metavar="PATH", help="listen on a Unix socket instead of host and port")
    tls = serve.add_argument_group("TLS")
    tls.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM); turns TLS on")
    tls.add_argument("--tls-key", metavar="FILE", help="private key (PEM), if it is not in the certificate's file")
    over_quic = serve.add_argument_group("WebTransport", "For servers that have 'webtransport' among their transports.")
    over_quic.add_argument("--webtransport-cert", metavar="FILE", help="certificate chain (PEM); serves it over UDP")
    over_quic.add_argument("--webtransport-key", metavar="FILE", help="private key (PEM), as for TLS")
    _add_common(serve)

    demo = commands.add_parser(
        "demo",
        help="run the demo: a chat page with rooms and images",
        description="Serve a chat page with rooms and images, and print a line for every join and leave.",
    )
    _add_address(demo)
    _add_common(demo)
    demo.set_defaults(
        app=None, workers=1, unix=None, tls_cert=None, tls_key=None, webtransport_cert=None, webtransport_key=None
    )

    add_connect(commands)
    add_emit(commands)
    add_listen(commands)
    return parser


def _add_address(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=3000, help="port; 0 for a free one (default: %(default)s)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loop", choices=LOOPS, default="trio", help="event loop (default: %(default)s)")
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long a graceful stop may take (default: %(default)g)",
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return number


def _count(text: str) -> int:
    if text == "auto":
        return min(os.cpu_count() or 1, MAX_WORKERS)
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers (1 to {MAX_WORKERS}, or auto)")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number
