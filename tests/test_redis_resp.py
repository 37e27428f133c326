"""The bytes of RESP 3: what is made of them, in pieces of any size, and what is written."""

from __future__ import annotations

import random
from typing import Any

import pytest
from coredis.exceptions import MovedError, RedisError, ResponseError

from siocore.redis._resp import Reader, pack

#: What Redis sends, and what it means.
VALUES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"+\r\n", b""),
    (b":0\r\n", 0),
    (b":-12\r\n", -12),
    (b":9223372036854775807\r\n", 2**63 - 1),
    (b":-9223372036854775808\r\n", -(2**63)),
    (b"(123456789012345678901234567890\r\n", 123456789012345678901234567890),
    (b",1.5\r\n", 1.5),
    (b",inf\r\n", float("inf")),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b"$-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$5\r\na\r\nb\n\r\n", b"a\r\nb\n"),
    (b"=8\r\ntxt:text\r\n", b"text"),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", [1, [b"a"]]),
    (b"*3\r\n*0\r\n*-1\r\n_\r\n", [[], None, None]),
    (b"%0\r\n", {}),
    (b"%2\r\n$1\r\na\r\n*1\r\n:1\r\n+b\r\n%1\r\n:2\r\n#t\r\n", {b"a": [1], b"b": {2: True}}),
    (b"~2\r\n:1\r\n:2\r\n", {1, 2}),
    (b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\n\xff\r\n\r\n", (b"message", b"c", b"\xff\r\n")),
    (b">1\r\n*1\r\n:1\r\n", ([1],)),
]


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(("data", "value"), VALUES, ids=[str(data) for data, _ in VALUES])
def test_each_kind_of_value_whole_and_byte_by_byte(data: bytes, value: Any) -> None:
    (whole,) = Reader().feed(data)
    assert same(whole, value)
    reader = Reader()
    for at in range(len(data) - 1):
        assert reader.feed(data[at : at + 1]) == []
    (last,) = reader.feed(data[-1:])
    assert same(last, value)


def test_a_stream_in_any_pieces() -> None:
    stream = b"".join(data for data, _ in VALUES) * 3
    for seed in range(200):
        chance = random.Random(seed)
        reader, found, at = Reader(), [], 0
        while at < len(stream):
            size = chance.choice((1, 2, 7, 50, 500))
            found += reader.feed(stream[at : at + size])
            at += size
        assert found == [value for _, value in VALUES] * 3, seed


def test_errors_are_values_of_the_classes_that_coredis_has() -> None:
    moved, other, nested = Reader().feed(b"-MOVED 3999 127.0.0.1:6381\r\n-ERR no\r\n*1\r\n-ERR within\r\n")
    assert isinstance(moved, MovedError)
    assert isinstance(other, ResponseError)
    assert str(other) == "no"
    assert isinstance(nested[0], ResponseError)


@pytest.mark.parametrize("data", [b"?1\r\n", b"$x\r\n", b"*x\r\n", b"=4\r\nbin:\r\n", b":\r\n", b"$\r\n"])
def test_what_redis_would_not_send_is_an_error(data: bytes) -> None:
    with pytest.raises((RedisError, ValueError)):
        Reader().feed(data)


def test_a_long_string_is_joined_once() -> None:
    """Linear in its length: what is kept until it is complete is not looked at."""
    piece = b"x" * 65_536
    reader = Reader()
    assert reader.feed(b"*2\r\n:1\r\n$%d\r\n" % (512 * len(piece))) == []
    for _ in range(512):
        assert reader.feed(piece) == []
    assert reader.feed(b"\r\n:3\r\n") == [[1, 512 * piece], 3]


def test_commands_in_one_piece() -> None:
    assert pack([(b"PUBLISH", "é", b"\r\n"), (b"SET", "k", b"", b"PX", 1234567890)]) == (
        b"*3\r\n$7\r\nPUBLISH\r\n$2\r\n\xc3\xa9\r\n$2\r\n\r\n\r\n"
        b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$2\r\nPX\r\n$10\r\n1234567890\r\n"
    )
    assert pack([]) == b""
    long = [(b"XADD", *(b"x" * size for size in (9, 10, 99, 100, 65_536)))]
    assert Reader().feed(pack(long)) == [list(long[0])]
