"""siocore inside an ASGI server: ``app = siocore.asgi.ASGIApp(io)``, for uvicorn, hypercorn, granian and their like."""

from siocore.asgi._app import ASGIApp
from siocore.asgi._types import Receive, Scope, Send

__all__ = ["ASGIApp", "Receive", "Scope", "Send"]
