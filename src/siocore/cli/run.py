"""Run an application on one of the event loops until a signal stops it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import trio

import siocore.asyncio
import siocore.trio
from siocore import EngineServer, LifespanError, Server
from siocore._driver.hosting import ASGIApplication
from siocore._speedups import IMPLEMENTATION
from siocore._version import __version__
from siocore.options import WebTransport, Worker

__all__ = ["LOOPS", "SIGNALS", "Place", "Settings", "StartError", "address_lines", "run"]

LOOPS = ("trio", "asyncio", "uvloop")
_Refusal: TypeAlias = OSError | LifespanError
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Place(Protocol):
    """Of a worker among several."""

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that it listens on."""

    @property
    def worker(self) -> Worker:
        """Which one it is."""

    def announce(self, addresses: list[Any]) -> None:
        """Clients are let in."""


class StartError(Exception):
    """The server can't be started; the message says why."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where and how to serve. ``grace`` is in seconds."""

    host: str = "127.0.0.1"
    port: int = 3000
    unix_path: str | None = None
    loop: str = "trio"
    tls_cert: str | None = None
    tls_key: str | None = None
    webtransport_cert: str | None = None
    webtransport_key: str | None = None
    grace: float = 5.0
    #: Where the hosted ASGI application is, for people, and the application.
    app_name: str = ""
    app: ASGIApplication | None = None


def run(application: Server | EngineServer, settings: Settings, place: Place | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. Raises :exc:`StartError` where it can't listen.

    ``place`` is that of a worker.
    """
    arguments: dict[str, Any] = {
        "ssl_context": _ssl_context(settings),
        "grace": settings.grace,
        "app": settings.app,
    }
    if place is not None:
        arguments |= {"sockets": place.sockets, "worker": place.worker}
    elif settings.unix_path is not None:
        arguments["unix_path"] = settings.unix_path
    else:
        arguments |= {"host": settings.host, "port": settings.port}
    if settings.webtransport_cert is not None:
        arguments["webtransport"] = _webtransport(application, settings)
    elif settings.webtransport_key is not None:
        raise StartError("--webtransport-key needs --webtransport-cert", exit_code=2)
    if place is not None:
        announce: Callable[[list[Any]], None] = place.announce
        if application.options.generate_session_id is not None:
            raise StartError("generate_session_id can't be used with --workers: the ids of sessions name the worker")
    else:
        announce = partial(_announce, settings=settings, application=application)
    if settings.loop == "trio":
        refused = trio.run(_on_trio, partial(siocore.trio.serve, application, **arguments), announce)
    else:
        with asyncio.Runner(loop_factory=_loop_factory(settings.loop)) as runner:
            refused = runner.run(_on_asyncio(partial(siocore.asyncio.serve, application, **arguments), announce))
    if refused is not None:
        raise StartError(getattr(refused, "strerror", None) or str(refused))
    return 0


async def _on_trio(serve: Callable[..., Any], announce: Callable[[list[Any]], None]) -> _Refusal | None:
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_signal, signals, nursery.cancel_scope)
            try:
                addresses = await nursery.start(serve)
            except (OSError, LifespanError) as exc:
                # Returned, because a nursery would wrap what is raised in an exception group.
                nursery.cancel_scope.cancel()
                return exc
            announce(addresses)
    return None


async def _cancel_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    _next_signal_kills()
    scope.cancel()


async def _on_asyncio(serve: Callable[..., Any], announce: Callable[[list[Any]], None]) -> _Refusal | None:
    loop = asyncio.get_running_loop()
    listening = False

    def started(addresses: list[Any]) -> None:
        nonlocal listening
        listening = True
        announce(addresses)

    serving = asyncio.ensure_future(serve(started=started))
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        _next_signal_kills()
        serving.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await serving
    except asyncio.CancelledError:
        if not stopping:
            raise
    except (OSError, LifespanError) as exc:
        if listening:
            raise
        return exc
    return None


def _next_signal_kills() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name != "uvloop":
        return None
    try:
        import uvloop
    except ModuleNotFoundError:
        raise StartError("uvloop is not installed; pip install 'siocore[uvloop]' does it") from None
    return uvloop.new_event_loop


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise StartError("--tls-key needs --tls-cert", exit_code=2)
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as exc:
        files = " and ".join(file for file in (settings.tls_cert, settings.tls_key) if file is not None)
        raise StartError(f"can't use {files} for TLS: {exc.strerror or exc}") from None
    return context


def _webtransport(application: Server | EngineServer, settings: Settings) -> WebTransport:
    assert settings.webtransport_cert is not None
    if "webtransport" not in application.options.transports:
        raise StartError("--webtransport-cert was given, but 'webtransport' is not among the application's transports")
    if settings.unix_path is not None:
        raise StartError("WebTransport needs a host and port: it can't be served on a Unix socket", exit_code=2)
    if importlib.util.find_spec("aioquic") is None:
        raise StartError("aioquic is not installed; pip install 'siocore[webtransport]' does it")
    files = WebTransport(certificate=settings.webtransport_cert, private_key=settings.webtransport_key)
    from siocore._driver.quic import load_configuration

    try:
        load_configuration(files)
    except (OSError, ValueError) as exc:
        names = " and ".join(filter(None, (settings.webtransport_cert, settings.webtransport_key)))
        raise StartError(f"can't use {names} for WebTransport: {getattr(exc, 'strerror', None) or exc}") from None
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # It tells of every connection at INFO.
        logging.getLogger("quic").setLevel(logging.WARNING)
    return files


def _announce(addresses: list[Any], *, settings: Settings, application: Server | EngineServer) -> None:
    print(f"siocore {__version__} ({IMPLEMENTATION}) on {settings.loop}; Ctrl-C stops it", flush=True)
    if settings.app is not None:
        protocol = "Engine.IO" if isinstance(application, EngineServer) else "Socket.IO"
        print(f"{application.options.path} is {protocol}, other paths go to {settings.app_name}", flush=True)
    for line in address_lines(addresses, settings):
        print(line, flush=True)


def address_lines(addresses: list[Any], settings: Settings) -> list[str]:
    """What is said of where a server listens."""
    lines = []
    for address in addresses:
        lines.append(f"listening on {_url(address, secure=settings.tls_cert is not None)}")
        if settings.webtransport_cert is not None:
            lines.append(f"WebTransport on {_url(address, secure=True)} (UDP)")
    return lines


def _url(address: Any, *, secure: bool) -> str:
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{'https' if secure else 'http'}://{host}:{address[1]}"
