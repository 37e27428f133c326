"""The lifespan: our own, around that of the other application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siocore.asgi._types import ASGIApplication, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from siocore.asgi._app import ASGIApp

__all__ = ["run_lifespan"]


async def run_lifespan(
    ours: ASGIApp, other_app: ASGIApplication | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Start before the other application does, and end before it: our handlers may use what it has."""
    lifespan = _Lifespan(ours, receive, send)
    try:
        if other_app is not None:
            await lifespan.of(other_app, scope)
        if not lifespan.answered:
            await lifespan.alone()
    finally:
        await ours.shutdown()


class _Lifespan:
    """What has been said so far, between the ASGI server and the other application."""

    def __init__(self, ours: ASGIApp, receive: Receive, send: Send) -> None:
        self._ours = ours
        self._receive = receive
        self._send = send
        self._asked = ""
        #: Whether the other application has said anything, and so takes part.
        self.answered = False

    async def of(self, other_app: ASGIApplication, scope: Scope) -> None:
        try:
            await other_app(scope, self.receive, self.send)
        except Exception:
            # Before it has said anything, that is how applications say that they know no lifespan.
            if self.answered:
                raise

    async def receive(self) -> Message:
        message = await self._receive()
        self._asked = message["type"]
        if self._asked == "lifespan.startup":
            self._ours.start()
        elif self._asked == "lifespan.shutdown":
            await self._ours.shutdown()
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        await self._send(message)

    async def alone(self) -> None:
        """The other application knows no lifespan, or there is none. It may have asked already what there is to do."""
        while True:
            if not self._asked:
                await self.receive()
            await self._send({"type": f"{self._asked}.complete"})
            if self._asked == "lifespan.shutdown":
                return
            self._asked = ""
