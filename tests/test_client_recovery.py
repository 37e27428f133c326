"""Coming back to a server that has kept what was missed; and which last arguments are offsets."""

from __future__ import annotations

from typing import Any

import pytest

from fake_link import Client
from siocore.client_events import ClientEvent
from siocore.socketio.offsets import Offsets

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
NOW = 1_795_000_000.0


def yeast(seconds: float) -> str:
    number, text = int(seconds * 1000), ""
    while number:
        number, digit = divmod(number, 64)
        text = ALPHABET[digit] + text
    return text


def stream(seconds: float, number: int = 0) -> str:
    return f"{int(seconds * 1000)}-{number}"


def object_id(seconds: float) -> str:
    return f"{int(seconds):08x}0123456789abcdef"


class Reader:
    """An Offsets on a clock of its own."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.now = NOW
        self.ahead = ahead
        self.offsets = Offsets("pid", lambda: self.now)

    @property
    def there(self) -> float:
        """The server's clock."""
        return self.now + self.ahead

    def read(self, *args: Any, ack_id: int | None = None) -> list[Any]:
        """The arguments that are left."""
        event = ClientEvent(None, "e", list(args), ack_id)  # type: ignore[arg-type]
        self.offsets.read(event)
        self.now += 1
        return event.args


def test_recovery_asks_for_what_was_missed_and_the_offset_stays_out_of_the_arguments() -> None:
    client = Client(auth={"token": "t"}, wall_clock=lambda: NOW)
    socket = client.manager.socket()
    client.link.opened()
    client.link.take()
    client.link.text('0{"sid":"a","pid":"secret"}')
    assert not socket.recovered
    client.link.text(f'2["news",1,"{yeast(NOW)}"]')
    client.link.text('27["question","not an offset"]')
    client.link.text('2["volatile","text"]')
    client.link.lost()
    client.advance(1)
    client.link.opened()
    assert client.link.take() == [f'0{{"pid":"secret","offset":"{yeast(NOW)}","token":"t"}}']
    # As Node.js does: first what was missed, then CONNECT.
    client.link.text(f'2["news",2,"{yeast(NOW + 1)}"]')
    client.link.text(f'51-["news",{{"_placeholder":true,"num":0}},"{yeast(NOW + 1)}.1"]')
    client.link.binary(b"x")
    client.link.text('0{"sid":"a","pid":"secret"}')
    assert (socket.recovered, socket.id) == (True, "a")
    assert client.told() == [
        "connect",
        ("news", 1),
        ("question", "not an offset"),
        ("volatile", "text"),
        ("disconnect", "transport close"),
        ("news", 2),
        ("news", b"x"),
        "connect",
    ]
    client.link.lost()
    client.advance(1)
    client.link.opened()
    assert client.link.take() == [f'0{{"pid":"secret","offset":"{yeast(NOW + 1)}.1","token":"t"}}']
    client.link.text('0{"sid":"b","pid":"other"}')
    assert (socket.recovered, socket.id) == (False, "b")
    client.link.lost()
    client.advance(1)
    client.link.opened()
    assert client.link.take() == ['0{"pid":"other","token":"t"}']
    client.link.text('0{"sid":"c"}')
    client.link.lost()
    client.advance(1)
    client.link.opened()
    assert client.link.take() == ['0{"token":"t"}']


def test_who_disconnects_on_purpose_begins_anew_even_if_the_server_never_heard_of_it() -> None:
    client = Client(wall_clock=lambda: NOW)
    socket = client.manager.socket()
    client.link.opened()
    client.link.take()
    client.link.text('0{"sid":"a","pid":"secret"}')
    client.link.text(f'2["e","{yeast(NOW)}"]')
    socket.disconnect()
    client.link.lost()
    socket.connect()
    client.link.opened()
    assert client.link.take() == ["0"]


def test_without_a_pid_no_last_argument_is_an_offset() -> None:
    client = Client(wall_clock=lambda: NOW)
    client.connected()
    client.link.text(f'2["news","{yeast(NOW)}"]')
    assert client.told() == [("news", yeast(NOW))]


@pytest.mark.parametrize("kind", [yeast, stream, object_id])
def test_offsets_with_a_time_are_recognised_and_the_strings_of_volatile_events_are_not(kind: Any) -> None:
    reader = Reader()
    assert reader.read("volatile", "Running") == ["volatile", "Running"]
    assert reader.read(1, kind(reader.there)) == [1]
    latest = reader.offsets.latest
    for text in ("text", "Stopped", "message", "", "deadbeef1", "2026-11-23", "12345-6", "https://x.example", "a" * 24):
        assert reader.read(text) == [text]
    assert reader.read(kind(reader.there), ack_id=1) != []
    assert reader.read() == []
    assert reader.offsets.latest == latest
    last = kind(reader.there)
    assert reader.read("x", last) == ["x"]
    assert reader.offsets.request() == {"pid": "pid", "offset": last}


@pytest.mark.parametrize("kind", [yeast, stream, object_id])
@pytest.mark.parametrize("ahead", [-50 * 365 * 86_400.0 + 1e8, -2 * 86_400.0, 3 * 86_400.0])
def test_clocks_that_disagree_are_found_out_after_one_event(kind: Any, ahead: float) -> None:
    if kind is not object_id and ahead < -1e9:
        # Times of eight digits fewer have another form, so that they are none.
        ahead = -20 * 86_400.0
    reader = Reader(ahead)
    first = kind(reader.there)
    assert reader.read(1, first) == [1, first]
    assert reader.read(2, kind(reader.there)) == [2]
    assert reader.read(3, kind(reader.there)) == [3]


def test_a_word_that_comes_twice_is_no_clock() -> None:
    reader = Reader()
    for word in ("Running", "Running", "Stopped", "Running"):
        reader.now = NOW
        assert reader.read(word) == [word]
    assert reader.offsets.latest is None


def test_our_own_servers_offsets_are_recognised_by_their_tag() -> None:
    reader = Reader()
    assert reader.read(1, "0a1b2c3d1") == [1]
    assert reader.read("text", "0a1b2c3d1f") == ["text"]
    assert reader.offsets.latest == "0a1b2c3d1f"
    # An event of another server's: ours has an offset behind every one, so that it is none of ours.
    assert reader.read("ffffffff1") == ["ffffffff1"]
    assert reader.offsets.latest == "0a1b2c3d1f"


def test_a_server_that_leaves_offsets_out_is_not_ours() -> None:
    reader = Reader()
    assert reader.read(1) == [1]
    assert reader.read("0a1b2c3d1") == ["0a1b2c3d1"]
    assert reader.read(2, yeast(reader.there)) == [2]


def test_a_wrong_guess_is_corrected() -> None:
    reader = Reader()
    # The very first event is a volatile one that ends with the hash of a commit.
    reader.read("0a1b2c3d1")
    assert reader.read(2, yeast(reader.there)) == [2]
    assert reader.read("0a1b2c3d2") == ["0a1b2c3d2"]
    other = Reader()
    other.read(object_id(other.there))
    assert other.read(1, stream(other.there)) == [1]
    assert other.read(object_id(other.there)) == [object_id(other.there - 1)]


@pytest.mark.parametrize("pid", ['""', "5", "null", f'"{"x" * 300}"', "{}"])
def test_a_pid_that_is_none_means_no_recovery(pid: str) -> None:
    client = Client()
    socket = client.manager.socket()
    client.link.opened()
    client.link.text(f'0{{"sid":"a","pid":{pid}}}')
    assert socket.connected
    assert socket.offsets is None
