"""Applications: handlers, middleware and what they are called with. Coroutines, but of no particular event loop."""

from siocore.application.engine import EngineServer
from siocore.application.server import Server

__all__ = ["EngineServer", "Server"]
