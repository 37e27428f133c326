"""The browser bundle at ``/socket.io/socket.io.js``: socket.io-client's dist files, read when first asked for."""

from __future__ import annotations

import importlib.resources
import os
from importlib.resources.abc import Traversable
from pathlib import Path

from siocore.endpoint.interfaces import ServerConnection
from siocore.endpoint.resources import Resource
from siocore.options import ServerOptions

__all__ = ["BUNDLE_FILES", "bundle_resources"]

BUNDLE_FILES = tuple(
    f"socket.io{variant}.js{suffix}" for variant in ("", ".min", ".esm.min", ".msgpack.min") for suffix in ("", ".map")
)


class BundleFile:
    """One file of the bundle."""

    def __init__(self, file: Traversable) -> None:
        self._file = file
        self._resource: Resource | None = None

    def answer(self, connection: ServerConnection) -> None:
        if self._resource is None:
            is_map = self._file.name.endswith(".map")
            content_type = "application/json; charset=utf-8" if is_map else "application/javascript; charset=utf-8"
            self._resource = Resource(self._file.read_bytes(), content_type)
        self._resource.answer(connection)


def bundle_resources(options: ServerOptions) -> dict[str, BundleFile]:
    """The files that are there, by the path at which they are served.

    Raises ValueError if a folder was named that has none of them.
    """
    if not options.serve_client:
        return {}
    named = options.client_dist if options.client_dist is not None else os.environ.get("SIOCORE_CLIENT_DIST")
    folder: Traversable = Path(named) if named else importlib.resources.files("siocore").joinpath("_client")
    found = {
        options.path + name: BundleFile(file) for name in BUNDLE_FILES if (file := folder.joinpath(name)).is_file()
    }
    if named and not found:
        raise ValueError(f"{os.fspath(named)!r} has no socket.io.js: name the dist folder of socket.io-client")
    return found
