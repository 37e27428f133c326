"""Options and limits are checked once, when they are made."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from siocore import HttpCompression, Limits, PerMessageDeflate, Request, ServerOptions
from siocore.options import random_id


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, "5", None, True])
def test_a_limit_is_a_positive_number(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be a positive number"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout", "upgrade_timeout", "connect_timeout"])
def test_a_duration_is_a_positive_number_of_seconds(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive number of seconds"):
        ServerOptions(**{name: 0})  # type: ignore[arg-type]


def test_options_and_limits_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerOptions().path = "/x/"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_payload = 1  # type: ignore[misc]


def test_a_path_gets_its_trailing_slash() -> None:
    assert ServerOptions(path="/socket.io").path == "/socket.io/"


@pytest.mark.parametrize("path", ["socket.io", "", "/a?b", "/a#b"])
def test_a_path_that_cannot_be_requested_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path must start with"):
        ServerOptions(path=path)


@pytest.mark.parametrize("transports", [(), ("carrier pigeon",), ("polling", "udp")])
def test_unknown_transports_are_refused(transports: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="transports must be"):
        ServerOptions(transports=transports)


def test_origins_are_compared_in_lower_case_without_a_slash() -> None:
    cors = ServerOptions(cors_origins=("https://App.Example/",)).cors
    assert cors is not None
    assert cors.allows("https://app.example", Request("GET", "/", []))
    assert not cors.allows("https://app.example.evil", Request("GET", "/", []))
    with pytest.raises(ValueError, match="not a list with"):
        ServerOptions(cors_origins=("*",))


def test_ids_have_20_characters_of_base64url_and_do_not_repeat() -> None:
    ids = {random_id() for _ in range(100_000)}
    assert len(ids) == 100_000
    assert {len(each) for each in ids} == {20}
    characters = {character for each in ids for character in each}
    assert characters == set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_what_is_counted_is_an_int_and_what_is_waited_for_may_be_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"Limits\.max_payload counts"):
        Limits(max_payload=1e6)  # type: ignore[arg-type]
    assert Limits(head_timeout=1).head_timeout == 1


def test_a_limit_that_counts_is_at_most_what_memory_can_have() -> None:
    assert Limits(max_payload=sys.maxsize).max_payload == sys.maxsize
    with pytest.raises(ValueError, match=r"Limits\.max_payload must be at most"):
        Limits(max_payload=sys.maxsize + 1)
    with pytest.raises(ValueError, match=r"Limits\.max_attachments counts, so it must be an int"):
        Limits(max_attachments=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "least", "most"),
    [
        (HttpCompression, "threshold", 0, sys.maxsize),
        (HttpCompression, "level", 1, 9),
        (PerMessageDeflate, "threshold", 0, sys.maxsize),
        (PerMessageDeflate, "level", 1, 9),
        (PerMessageDeflate, "mem_level", 1, 9),
        (PerMessageDeflate, "server_max_window_bits", 9, 15),
        (PerMessageDeflate, "client_max_window_bits", 9, 15),
    ],
)
def test_what_zlib_is_told_is_in_its_range(kind: type, name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(kind(**{name: value}), name) == value
    for wrong in (least - 1, most + 1, "6", 6.0, None, True):
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{name} must be a whole number from {least} to {most}"):
            kind(**{name: wrong})


def test_compression_is_switched_or_told_more() -> None:
    assert ServerOptions().http_compression == HttpCompression()
    assert ServerOptions().per_message_deflate is False
    assert ServerOptions(per_message_deflate=True).per_message_deflate == PerMessageDeflate()
    told = ServerOptions(http_compression=HttpCompression(level=1), per_message_deflate=PerMessageDeflate(level=2))
    assert told.http_compression == HttpCompression(level=1)
    assert told.per_message_deflate == PerMessageDeflate(level=2)
    for name in ("http_compression", "per_message_deflate"):
        with pytest.raises(ValueError, match=f"{name} must be a bool or a "):
            ServerOptions(**{name: {"threshold": 1}})  # type: ignore[arg-type]
