"""The chat server behind the demo page: names, rooms, messages and images, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import siocore

__all__ = ["make_demo"]

MAX_NAME = 24
MAX_TEXT = 2_000
MAX_IMAGE = 512 * 1024
#: Rooms that one person may be in.
MAX_ROOMS = 16

#: An acknowledgement's argument.
Answer = dict[str, object]

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
}


class Refused(Exception):
    """What a person asked for can't be done; the text is shown to them."""


class Chat:
    """Who is in which room. A room exists while somebody is in it."""

    def __init__(self, io: siocore.Server) -> None:
        self.io = io
        self.names: dict[str, str] = {}
        self.rooms: dict[str, dict[str, str]] = {}

    def enter(self, socket: siocore.Socket) -> None:
        self.names[socket.id] = name_of(socket)

    def join(self, socket: siocore.Socket, room: object) -> Answer:
        room = checked_name(room, "A room's name")
        people = self.rooms.get(room, {})
        if socket.id not in people:
            if sum(socket.id in members for members in self.rooms.values()) >= MAX_ROOMS:
                raise Refused(f"You are in {MAX_ROOMS} rooms already: leave one first.")
            people = self.rooms.setdefault(room, {})
            name = people[socket.id] = self.names[socket.id]
            self.io.to(key(room)).emit("joined", room, name)
            socket.join(key(room))
            self.changed(room, f"{name} joined {room}")
        return {"room": room, "people": list(people.items())}

    def leave(self, socket: siocore.Socket, room: object) -> Answer:
        room = self.member(socket, room)
        people = self.rooms[room]
        name = people.pop(socket.id)
        socket.leave(key(room))
        self.io.to(key(room)).emit("left", room, name)
        self.changed(room, f"{name} left {room}")
        if not people:
            del self.rooms[room]
        return {"room": room}

    def gone(self, socket: siocore.Socket) -> None:
        for room in [room for room, people in self.rooms.items() if socket.id in people]:
            self.leave(socket, room)
        self.names.pop(socket.id, None)

    def say(self, socket: siocore.Socket, room: object, text: object) -> Answer:
        room = self.member(socket, room)
        if not isinstance(text, str) or not text.strip():
            raise Refused("There is nothing to send.")
        if len(text) > MAX_TEXT:
            raise Refused(f"A message has at most {MAX_TEXT} characters.")
        said = {"id": socket.id, "name": self.names[socket.id], "room": room, "text": text}
        self.io.to(key(room)).emit("message", said)
        return {"room": room}

    def show(self, socket: siocore.Socket, room: object, data: object) -> Answer:
        room = self.member(socket, room)
        if not isinstance(data, bytes) or len(data) > MAX_IMAGE:
            raise Refused(f"An image has at most {MAX_IMAGE // 1024} KiB.")
        kind = image_type(data)
        if kind is None:
            raise Refused("Only PNG, JPEG, GIF and WebP images can be sent.")
        said = {"id": socket.id, "name": self.names[socket.id], "room": room, "type": kind}
        self.io.to(key(room)).emit("image", said, data)
        return {"room": room}

    def member(self, socket: siocore.Socket, room: object) -> str:
        if not isinstance(room, str) or socket.id not in self.rooms.get(room, ()):
            raise Refused("You are not in that room.")
        return room

    def changed(self, room: str, what: str) -> None:
        people = self.rooms[room]
        self.io.to(key(room)).emit("people", room, list(people.items()))
        print(f"{what} ({len(people)} there)", flush=True)


def make_demo() -> siocore.Server:
    """A server with the chat page at ``/``. It prints a line for every join and leave."""
    io = siocore.Server()
    chat = Chat(io)
    page = resources.files("siocore.demo") / "page"
    for path, (file, content_type) in PAGE.items():
        io.add_resource(path, (page / file).read_bytes(), content_type)

    @io.use
    def named(socket: siocore.Socket) -> None:
        try:
            name_of(socket)
        except Refused as refusal:
            raise siocore.ConnectionRefused(str(refusal)) from None

    @io.on("connection")
    def connected(socket: siocore.Socket) -> None:
        chat.enter(socket)

    @io.on("disconnect")
    def disconnected(socket: siocore.Socket, reason: str) -> None:
        chat.gone(socket)

    @io.on("join")
    def join(socket: siocore.Socket, room: object = None, *_: object) -> Answer:
        return answer(chat.join, socket, room)

    @io.on("leave")
    def leave(socket: siocore.Socket, room: object = None, *_: object) -> Answer:
        return answer(chat.leave, socket, room)

    @io.on("message")
    def message(socket: siocore.Socket, room: object = None, text: object = None, *_: object) -> Answer:
        return answer(chat.say, socket, room, text)

    @io.on("image")
    def image(socket: siocore.Socket, room: object = None, data: object = None, *_: object) -> Answer:
        return answer(chat.show, socket, room, data)

    return io


def answer(action: Callable[..., Answer], *arguments: object) -> Answer:
    """What the page's acknowledgement says: the action's result, or why it was refused."""
    try:
        return action(*arguments)
    except Refused as refusal:
        return {"error": str(refusal)}


def name_of(socket: siocore.Socket) -> str:
    auth = socket.handshake.auth
    return checked_name(auth.get("name") if isinstance(auth, dict) else None, "A name")


def checked_name(value: object, what: str) -> str:
    """A name that is safe to print in a terminal and to show on a page."""
    name = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise Refused(f"{what} has 1 to {MAX_NAME} printable characters.")
    return name


def key(room: str) -> str:
    """The room's name inside the server, where every socket's id is a room as well."""
    return f"room:{room}"


def image_type(data: bytes) -> str | None:
    """The type that the first bytes prove, whatever the sender says; ``None`` for all but four kinds of image."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None
