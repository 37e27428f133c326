"""siocore inside an ASGI server: ``app = siocore.asgi.ASGIApp(io)``, for uvicorn, hypercorn, granian and their like."""

from siocore.asgi._app import ASGIApp

__all__ = ["ASGIApp"]
