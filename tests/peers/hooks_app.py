"""A server with everything that an application can say about requests: ``siocore serve hooks_app:io``."""

from __future__ import annotations

from anyio.lowlevel import checkpoint

import siocore


async def allow(request: siocore.Request) -> bool:
    await checkpoint()
    token = request.parameter("token")
    if token == "expired":
        raise siocore.RequestRefused("your token has expired", status=401)
    return token != "bad"


async def session_id(request: siocore.Request) -> str:
    await checkpoint()
    return "worker7_" + siocore.ServerOptions().generate_id()


io = siocore.Server(
    allow_request=allow,
    generate_session_id=session_id,
    cookie=siocore.Cookie(name="node", max_age=60),
    initial_headers=lambda headers, request: headers.update({"x-first": "yes"}),
    headers=lambda headers, request: headers.update({"x-served-by": "siocore"}),
    cors=siocore.Cors(origins="https://app.example", credentials=True, exposed_headers=["x-served-by"]),
)


@io.on("echo")
def echo(socket: siocore.Socket, *args: object) -> tuple[object, ...]:
    return args
