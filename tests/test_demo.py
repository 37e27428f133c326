"""The demo's server: what people may do in it, and what it makes of input that no page would send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import siocore
from siocore.demo import make_demo
from siocore.demo.application import MAX_IMAGE, MAX_ROOMS
from siocore.testing import TestClient, TestServer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
Enter = Callable[[str], TestClient]


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Opens the page: a client with this name."""
    with TestServer(make_demo()) as server:

        def connect(name: str) -> TestClient:
            client = TestClient(server)
            client.connect(auth={"name": name})
            return client

        yield connect


def events(client: TestClient, count: int) -> list[tuple[Any, ...]]:
    return [(event.name, *event.args) for event in (client.receive() for _ in range(count))]


@pytest.mark.parametrize("auth", [None, {}, {"name": ""}, {"name": "  "}, {"name": "x" * 25}, {"name": ["Ada"]}])
def test_nobody_comes_in_without_a_name(auth: dict[str, Any] | None) -> None:
    with TestServer(make_demo()) as server, pytest.raises(siocore.ConnectionRefused, match="printable characters"):
        TestClient(server).connect(auth=auth)


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "a\u202eb", "\x00"])
def test_a_name_that_would_disturb_a_terminal_is_refused(name: str) -> None:
    with TestServer(make_demo()) as server, pytest.raises(siocore.ConnectionRefused, match="printable characters"):
        TestClient(server).connect(auth={"name": name})


def test_joins_and_leaves_are_told_to_the_room_and_printed(enter: Enter, capsys: pytest.CaptureFixture[str]) -> None:
    ada, bob = enter("Ada"), enter(" Bob ")
    assert ada.emit_with_ack("join", "lobby") == {"room": "lobby", "people": [[ada.id, "Ada"]]}
    assert bob.emit_with_ack("join", "lobby") == {"room": "lobby", "people": [[ada.id, "Ada"], [bob.id, "Bob"]]}
    assert bob.emit_with_ack("leave", "lobby") == {"room": "lobby"}
    assert events(ada, 5) == [
        ("people", "lobby", [[ada.id, "Ada"]]),
        ("joined", "lobby", "Bob"),
        ("people", "lobby", [[ada.id, "Ada"], [bob.id, "Bob"]]),
        ("left", "lobby", "Bob"),
        ("people", "lobby", [[ada.id, "Ada"]]),
    ]
    assert capsys.readouterr().out == (
        "Ada joined lobby (1 there)\nBob joined lobby (2 there)\nBob left lobby (1 there)\n"
    )


def test_joining_twice_changes_nothing(enter: Enter, capsys: pytest.CaptureFixture[str]) -> None:
    ada = enter("Ada")
    assert ada.emit_with_ack("join", "lobby") == ada.emit_with_ack("join", " lobby ")
    assert capsys.readouterr().out.count("\n") == 1


def test_who_disconnects_leaves_every_room(enter: Enter, capsys: pytest.CaptureFixture[str]) -> None:
    ada, bob = enter("Ada"), enter("Bob")
    ada.emit_with_ack("join", "lobby")
    for room in ("lobby", "kitchen"):
        bob.emit_with_ack("join", room)
    bob.disconnect()
    assert events(ada, 5)[3:] == [("left", "lobby", "Bob"), ("people", "lobby", [[ada.id, "Ada"]])]
    assert capsys.readouterr().out.endswith("Bob left lobby (1 there)\nBob left kitchen (0 there)\n")


def test_messages_and_images_reach_the_room_with_their_author(enter: Enter) -> None:
    ada, bob = enter("Ada"), enter("Bob")
    for client in (bob, ada):
        client.emit_with_ack("join", "lobby")
    assert ada.emit_with_ack("message", "lobby", "hello") == {"room": "lobby"}
    assert ada.emit_with_ack("image", "lobby", PNG) == {"room": "lobby"}
    said = {"id": ada.id, "name": "Ada", "room": "lobby"}
    assert events(bob, 5)[3:] == [
        ("message", {**said, "text": "hello"}),
        ("image", {**said, "type": "image/png"}, PNG),
    ]


@pytest.mark.parametrize("event", ["message", "image", "leave"])
def test_only_members_act_in_a_room(event: str, enter: Enter) -> None:
    ada, bob = enter("Ada"), enter("Bob")
    ada.emit_with_ack("join", "lobby")
    assert bob.emit_with_ack(event, "lobby", "hello") == {"error": "You are not in that room."}
    assert bob.emit_with_ack(event, ada.id, "hello") == {"error": "You are not in that room."}


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (PNG, {"room": "lobby"}),
        (b"\xff\xd8\xff\xe0", {"room": "lobby"}),
        (b"GIF89a", {"room": "lobby"}),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", {"room": "lobby"}),
        (PNG.ljust(MAX_IMAGE, b"\0"), {"room": "lobby"}),
        (PNG.ljust(MAX_IMAGE + 1, b"\0"), {"error": "An image has at most 512 KiB."}),
        (b"", {"error": "Only PNG, JPEG, GIF and WebP images can be sent."}),
        (b"<svg onload='alert(1)'/>", {"error": "Only PNG, JPEG, GIF and WebP images can be sent."}),
        (b"RIFF\x00\x00\x00\x00WAVE", {"error": "Only PNG, JPEG, GIF and WebP images can be sent."}),
        ("GIF89a", {"error": "An image has at most 512 KiB."}),
    ],
)
def test_an_image_is_what_its_first_bytes_prove(data: bytes | str, answer: dict[str, str], enter: Enter) -> None:
    ada = enter("Ada")
    ada.emit_with_ack("join", "lobby")
    assert ada.emit_with_ack("image", "lobby", data) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("x" * 2_000, {"room": "lobby"}),
        ("x" * 2_001, {"error": "A message has at most 2000 characters."}),
        (" \n", {"error": "There is nothing to send."}),
        (["hello"], {"error": "There is nothing to send."}),
    ],
)
def test_a_message_is_bounded_text(text: object, answer: dict[str, str], enter: Enter) -> None:
    ada = enter("Ada")
    ada.emit_with_ack("join", "lobby")
    assert ada.emit_with_ack("message", "lobby", text) == answer


def test_a_person_is_in_a_bounded_number_of_rooms(enter: Enter) -> None:
    ada = enter("Ada")
    for number in range(MAX_ROOMS):
        assert "error" not in ada.emit_with_ack("join", f"room {number}")
    assert ada.emit_with_ack("join", "one more") == {"error": "You are in 16 rooms already: leave one first."}
    ada.emit_with_ack("leave", "room 0")
    assert "error" not in ada.emit_with_ack("join", "one more")


@pytest.mark.parametrize("event", ["join", "leave", "message", "image"])
@pytest.mark.parametrize("args", [(), (None,), ({},), ("lobby", None), ([1], 2, 3, b"4")])
def test_arguments_that_no_page_would_send_are_answered_with_an_error(
    event: str, args: tuple[object, ...], enter: Enter
) -> None:
    ada = enter("Ada")
    if (event, args) == ("join", ("lobby", None)):
        assert "error" not in ada.emit_with_ack(event, *args)
    else:
        assert list(ada.emit_with_ack(event, *args)) == ["error"]
