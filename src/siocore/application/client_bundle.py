"""The browser bundle at ``/socket.io/socket.io.js``: socket.io-client's dist files, read when first asked for."""

from __future__ import annotations

import importlib.resources
import os
from importlib.resources.abc import Traversable
from pathlib import Path

from siocore.endpoint.resources import Resource
from siocore.http.compression import CODINGS
from siocore.options import ServerOptions

__all__ = ["BUNDLE_FILES", "bundle_resources"]

BUNDLE_FILES = tuple(
    f"socket.io{variant}.js{suffix}" for variant in ("", ".min", ".esm.min", ".msgpack.min") for suffix in ("", ".map")
)
#: Files that may lie beside each of them, compressed when the package was built. Best first.
_SUFFIXES = {"br": ".br", "gzip": ".gz"}


class BundleFile(Resource):
    """One file of the bundle."""

    __slots__ = ("_files",)

    def __init__(self, folder: Traversable, name: str, options: ServerOptions) -> None:
        self._files: dict[str | None, Traversable] = {None: folder.joinpath(name)}
        for coding, suffix in _SUFFIXES.items():
            coded = folder.joinpath(name + suffix)
            if coded.is_file():
                self._files[coding] = coded
        kind = "json" if name.endswith(".map") else "javascript"
        codings = ("br", *CODINGS) if "br" in self._files else CODINGS
        super().__init__(f"application/{kind}; charset=utf-8", options.http_compression, codings)

    def read(self, coding: str | None) -> bytes | None:
        file = self._files.get(coding)
        return None if file is None else file.read_bytes()


def bundle_resources(options: ServerOptions) -> dict[str, BundleFile]:
    """The files that are there, by the path at which they are served.

    Raises ValueError if a folder was named that has none of them.
    """
    if not options.serve_client:
        return {}
    named = options.client_dist if options.client_dist is not None else os.environ.get("SIOCORE_CLIENT_DIST")
    folder: Traversable = Path(named) if named else importlib.resources.files("siocore").joinpath("_client")
    found = {
        options.path + name: BundleFile(folder, name, options)
        for name in BUNDLE_FILES
        if folder.joinpath(name).is_file()
    }
    if named and not found:
        raise ValueError(f"{os.fspath(named)!r} has no socket.io.js: name the dist folder of socket.io-client")
    return found
