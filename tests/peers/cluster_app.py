"""A server of a cluster that does what its clients ask for: which cluster is in the environment."""

from __future__ import annotations

import os
import re
from typing import Any

import siocore
import siocore.redis


def make_cluster() -> Any:
    kind, url = os.environ["CLUSTER_KIND"], os.environ["CLUSTER_URL"]
    if kind == "classic":
        return siocore.redis.PubSub(url)
    if kind == "streams":
        return siocore.redis.Streams(url)
    if kind == "streams-sharded":
        return siocore.redis.Streams(url, sharded=True)
    return siocore.redis.ShardedPubSub(url, mode=kind)


KIND = os.environ.get("CLUSTER_KIND", "")
io = siocore.Server(adapter=make_cluster(), recovery=True if KIND.startswith("streams") else None)
told: list[object] = []


@io.on("connection")
def connected(socket: siocore.Socket) -> None:
    socket.join("everybody", f"own {socket.handshake.auth.get('name')}")
    socket.data.name = socket.handshake.auth.get("name")


@io.of(re.compile(r"/dynamic-\d+")).on("shout")
def shout(socket: siocore.Socket, *args: Any) -> None:
    socket.namespace.emit("heard", *args)


@io.on_server_side("told")
def server_side(*args: Any) -> int:
    told.append(list(args))
    return os.getpid()


@io.on("do")
async def do(socket: siocore.Socket, op: dict[str, Any]) -> Any:
    target: Any = io
    if op.get("rooms"):
        target = target.to(*op["rooms"])
    if op.get("except"):
        target = target.except_(*op["except"])
    if op.get("volatile"):
        target = target.volatile
    args = op.get("args", [])
    match op["op"]:
        case "emit":
            for number in range(op.get("times", 1)):
                target.emit(*args, *([number] if "times" in op else []))
        case "ask":
            try:
                return sorted(await target.timeout(3).emit_with_ack(*args), key=str)
            except siocore.AckTimeout as error:
                return ["timeout", len(error.responses)]
        case "fetch":
            sockets = await target.fetch_sockets()
            return sorted(
                [
                    [each.id, sorted(each.rooms), each.data.name, each.handshake.auth["name"], len(sockets.missing)]
                    for each in sockets
                ]
            )
        case "join":
            target.sockets_join(*args)
        case "leave":
            target.sockets_leave(*args)
        case "disconnect":
            target.disconnect_sockets()
        case "tell":
            io.server_side_emit("told", *args)
        case "tell and ask":
            return len(set(await io.server_side_emit_with_ack("told", *args)))
        case "told":
            found, told[:] = told[:], []
            return found
        case "all rooms":
            return sorted(await io.sockets.adapter.all_rooms())  # type: ignore[attr-defined]
    return "done"
