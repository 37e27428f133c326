"""What the commands that connect have in common: where to, how, and what to say when it fails."""

from __future__ import annotations

import argparse
import re
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from siocore.cli.arguments import BadArgument, parse_value
from siocore.cli.lines import Style, escape, show
from siocore.client_options import CLIENT_TRANSPORTS
from siocore.errors import ConnectError
from siocore.target import parse_url

__all__ = [
    "DISCONNECTED",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "TIMED_OUT",
    "USAGE",
    "Connection",
    "UsageError",
    "add_client_arguments",
    "complain",
    "connection_from",
    "explain",
    "positive",
    "style_for",
]

#: Exit codes: done; not connected, or something else failed; not understood; no answer in time; connection lost.
OK, FAILED, USAGE, TIMED_OUT, DISCONNECTED = range(5)
#: What a shell reports for a program that SIGINT has ended.
INTERRUPTED = 130

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class UsageError(Exception):
    """Options that don't go together or can't be used; the message says what to write instead."""

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to: the arguments of ``siocore.trio.connect``."""

    url: str
    namespace: str
    retry: bool
    options: Mapping[str, Any]


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Add URL and the options of connections."""
    parser.add_argument(
        "url", metavar="URL", help="http://host:port, https, ws or wss; a path is the namespace: http://host/admin"
    )
    socket = parser.add_argument_group("connection")
    socket.add_argument("--namespace", metavar="/NAME", help="instead of the URL's path")
    socket.add_argument(
        "--auth", type=_auth, metavar="JSON|@FILE", help='for the server, for example \'{"token": "x"}\''
    )
    socket.add_argument("--path", default="/socket.io/", help="where the server is (default: %(default)s)")
    socket.add_argument("--transports", type=_transports, metavar="LIST", help="in order (default: polling,websocket)")
    socket.add_argument(
        "--header", type=_header, action="append", default=[], metavar="'NAME: VALUE'", help="repeatable"
    )
    socket.add_argument(
        "--query", type=_parameter, action="append", default=[], metavar="NAME=VALUE", help="repeatable"
    )
    socket.add_argument(
        "--protocol",
        type=_protocol,
        default=4,
        metavar="4|3|auto",
        help="revision of Engine.IO; 3 for servers of Socket.IO 1 and 2 (default: 4)",
    )
    socket.add_argument("--parser", choices=["msgpack"], help="how the server writes its packets, if not as JSON")
    socket.add_argument("--ca", metavar="FILE", help="certificates of authorities to trust (PEM)")
    socket.add_argument("--insecure", action="store_true", help="take any certificate: whoever is between can read")
    socket.add_argument("--proxy", metavar="URL", help="HTTP proxy; 'env' for what HTTPS_PROXY and NO_PROXY say")
    socket.add_argument("--unix", metavar="PATH", help="connect to a Unix socket; the URL's host is only named")
    socket.add_argument("--retry", action="store_true", help="go on trying where the first attempt fails")
    socket.add_argument(
        "--connect-timeout", type=positive, default=20.0, metavar="SECONDS", help="default: %(default)g"
    )


def connection_from(options: argparse.Namespace) -> Connection:
    """What was asked for with :func:`add_client_arguments`. Raises :exc:`UsageError`."""
    try:
        _, _, secure, path, _ = parse_url(options.url)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    url = options.url
    if options.namespace is not None:
        if path != "/":
            raise UsageError(f"the namespace is given twice: {path} in the URL and --namespace {options.namespace}")
        path = "/" + options.namespace.removeprefix("/")
        url = urlsplit(url)._replace(path=path).geturl()
    arguments: dict[str, Any] = {
        "path": options.path,
        "protocol": options.protocol,
        "timeout": options.connect_timeout,
        "headers": options.header,
        "query": options.query,
        "auth": options.auth,
        "parser": options.parser,
        "unix_path": options.unix,
        "ssl_context": _ssl_context(options) if secure else None,
    }
    if options.transports is not None:
        arguments["transports"] = options.transports
    if options.proxy == "env":
        arguments["trust_env"] = True
    elif options.proxy is not None:
        arguments["proxy"] = options.proxy
    return Connection(url, path, options.retry, {key: value for key, value in arguments.items() if value is not None})


def explain(error: ConnectError, namespace: str = "/") -> str:
    """One sentence for people: what failed and, where that is known, which option changes it."""
    message = escape(error.message)
    if not error.transport:
        data = "" if error.data is None else f" (data: {show(error.data)})"
        hint = "; the namespace is the path of the URL" if message == "Invalid namespace" else ""
        return f"the server refused namespace {escape(namespace)}: {message}{data}{hint}"
    lowered = message.lower()
    hint = ""
    if "certificate" in lowered:
        hint = "; --ca FILE trusts its authority, --insecure trusts anybody"
    elif "unsupported protocol" in lowered or "protocol version" in lowered:
        hint = "; try --protocol auto"
    elif error.status == 404:
        hint = "; here that is --path"
    elif "transport unknown" in lowered:
        hint = "; see --transports"
    return f"{message}{hint}"


def complain(message: str) -> None:
    """Write an error as the other commands do."""
    print(f"siocore: error: {message}", file=sys.stderr)


def style_for(options: argparse.Namespace, environment: Mapping[str, str], terminal: bool) -> Style:
    """Colours on a terminal, unless --no-color or NO_COLOR (no-color.org) says otherwise."""
    dumb = environment.get("TERM") == "dumb"
    return Style(terminal and not dumb and not options.no_color and not environment.get("NO_COLOR"))


def positive(text: str) -> float:
    """A number of seconds that is not 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return number


def _ssl_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.insecure:
        if options.ca is not None:
            raise UsageError("--insecure trusts anybody, so that --ca has no use: leave one of them out")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if options.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca)
    except (OSError, ssl.SSLError) as exc:
        raise UsageError(f"can't use {options.ca} as certificates: {exc.strerror or exc}", FAILED) from None


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """For argparse, which shows the message of this exception only."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except BadArgument as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None

    return checked


@_checked
def _auth(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadArgument(f"can't read {text[1:]}: {getattr(exc, 'strerror', None) or exc}") from None
    value = parse_value(text.strip())
    if not isinstance(value, dict):
        raise BadArgument('auth is a JSON object, for example {"token": "x"}')
    return value


@_checked
def _transports(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(CLIENT_TRANSPORTS) or len(set(names)) != len(names):
        raise BadArgument(f"{text!r} is not a list of {' and '.join(CLIENT_TRANSPORTS)}, separated by commas")
    return names


@_checked
def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or not value.isprintable():
        raise BadArgument(f"{text!r} is not of the form 'Name: value'")
    return name, value.strip()


@_checked
def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadArgument(f"{text!r} is not of the form name=value")
    return name, value


@_checked
def _protocol(text: str) -> int | str:
    if text not in ("3", "4", "auto"):
        raise BadArgument(f"{text!r} is not 4, 3 or auto")
    return "auto" if text == "auto" else int(text)
