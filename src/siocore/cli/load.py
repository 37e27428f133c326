"""Find the applications that ``module:attribute`` names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import Any

from siocore import EngineServer, Server
from siocore._driver.hosting import ASGIApplication

__all__ = ["LoadError", "load_application", "load_hosted"]


class LoadError(Exception):
    """The application can't be found; the message says why, and what would be there instead."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def load_application(location: str) -> Server | EngineServer:
    """Import ``module:attribute``; modules are looked for in the current folder first.

    Raises :exc:`LoadError`. An exception of the module's own while it is imported passes through.
    """
    module, found = _find(location)
    if not isinstance(found, (Server, EngineServer)):
        kind = type(found).__name__
        raise LoadError(
            f"{location} is a {kind}, not a siocore.Server or siocore.EngineServer{_instead(module)}",
        )
    return found


def load_hosted(location: str) -> ASGIApplication:
    """Import the ASGI application that ``module:attribute`` names.

    Raises :exc:`LoadError`. An exception of the module's own while it is imported passes through.
    """
    _, found = _find(location)
    if isinstance(found, (Server, EngineServer)):
        raise LoadError(f"{location} is a {type(found).__name__}; --app takes the ASGI application beside it")
    application: Any = found
    if not callable(application):
        raise LoadError(f"{location} is a {type(found).__name__}, which can't be called, so not an ASGI application")
    try:
        inspect.signature(application).bind(None, None, None)
    except TypeError:
        hint = "; if it makes the application, call it in the module" if inspect.isfunction(application) else ""
        raise LoadError(
            f"{location} can't be called with (scope, receive, send), so it is not an ASGI application{hint}"
        ) from None
    except ValueError:
        # Callables of extension modules need not tell what they take.
        pass
    hosted: ASGIApplication = application
    return hosted


def _find(location: str) -> tuple[ModuleType, object]:
    module_name, separator, attribute = location.partition(":")
    parts = attribute.split(".")
    if not separator or not all(part.isidentifier() for part in [*module_name.split("."), *parts]):
        raise LoadError(f"{location!r} is not of the form MODULE:ATTRIBUTE, for example chat:io", exit_code=2)
    module = _import(module_name)
    found: object = module
    for part in parts:
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"module {module_name!r} has no attribute {attribute!r}{_instead(module)}") from None
    return module, found


def _import(name: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # A module that the application itself fails to import is its own error, with its own traceback.
        if exc.name is None or not (name == exc.name or name.startswith(exc.name + ".")):
            raise
        raise LoadError(f"there is no module {exc.name!r} in {folder} or in the environment") from None


def _instead(module: ModuleType) -> str:
    names = sorted(name for name, value in vars(module).items() if isinstance(value, (Server, EngineServer)))
    if not names:
        return f"; no application was found in {module.__name__!r}"
    return f"; there is {', '.join(f'{module.__name__}:{name}' for name in names)}"
