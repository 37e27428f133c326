"""The arguments of events, as people type them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from siocore.cli.arguments import BadArgument, Command, Emission, parse_line, parse_value, parse_values, parse_word


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("hello", "hello"),
        ("", ""),
        ("1", 1),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("null", None),
        ("True", "True"),
        ("NaN", "NaN"),
        ("007", "007"),
        ("2026-01-02", "2026-01-02"),
        ("1.2.3.4", "1.2.3.4"),
        ("it's", "it's"),
        ('"1"', "1"),
        ('"@x"', "@x"),
        ('{"a": [1, "b"]}', {"a": [1, "b"]}),
        ('{"_bytes": "AP8="}', b"\x00\xff"),
        ('[{"_bytes": ""}, {"_bytes": 1}, {"_bytes": "", "b": 1}]', [b"", {"_bytes": 1}, {"_bytes": "", "b": 1}]),
    ],
)
def test_a_word_is_json_or_a_string(word: str, value: Any) -> None:
    parsed = parse_word(word)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{a: 1}", r"not JSON: \{a: 1\} \(.* at character 2\); names and strings need double quotes"),
        ('{"a": 1', r'not JSON: \{"a": 1 \(.* at character 8\)$'),
        ("[1,]", "not JSON"),
        ('"a', "not JSON"),
        ("[NaN]", "JSON has no NaN"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"_bytes": "?"}', '"_bytes" stands for bytes'),
        ("@", "the path of a file"),
        ("@/no/such/file", "can't read /no/such/file: No such file or directory.*double quotes"),
    ],
)
def test_a_word_that_looks_like_json_and_is_not_is_refused(word: str, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        parse_word(word)


def test_a_long_word_is_not_repeated_whole() -> None:
    with pytest.raises(BadArgument) as caught:
        parse_word("[" + "x" * 10_000)
    assert len(str(caught.value)) < 300


def test_json_alone_takes_no_bare_words() -> None:
    assert parse_value('"a"') == "a"
    with pytest.raises(BadArgument, match="not JSON: a"):
        parse_value("a")


def test_a_file_is_bytes(tmp_path: Path) -> None:
    path = tmp_path / "with space"
    path.write_bytes(b"\x00\x01")
    assert parse_word(f"@{path}") == b"\x00\x01"
    assert parse_line(f'image @"{path}" 1') == Emission("image", [b"\x00\x01", 1], False)


@pytest.mark.parametrize(
    ("word", "typed", "value"),
    [
        ("-", b"hello\n", "hello"),
        ("-", b'{"a": 1}\n', {"a": 1}),
        ("@-", b"\xff\n", b"\xff\n"),
    ],
)
def test_standard_input_is_an_argument(word: str, typed: bytes, value: Any) -> None:
    assert parse_word(word, io.BytesIO(typed)) == value


def test_standard_input_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadArgument, match="not UTF-8 text; @- takes it as bytes"):
        parse_word("-", io.BytesIO(b"\xff"))


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("", None),
        ("  \t", None),
        ("chat", Emission("chat", [], False)),
        ("chat hello world", Emission("chat", ["hello", "world"], False)),
        ('"chat message" "hello world"', Emission("chat message", ["hello world"], False)),
        ("chat 'it is \"so\"' 1", Emission("chat", ['it is "so"', 1], False)),
        ("chat it's", Emission("chat", ["it's"], False)),
        ('set {"a": [1, 2]}  [ 3 ]', Emission("set", [{"a": [1, 2]}, [3]], False)),
        ("echo 1 ?", Emission("echo", [1], True)),
        ("echo ?", Emission("echo", [], True)),
        ("echo why?", Emission("echo", ["why?"], False)),
        ('echo "?"', Emission("echo", ["?"], False)),
        ("echo ? ?", Emission("echo", ["?"], True)),
        ("echo -", Emission("echo", ["-"], False)),
        ("1 2", Emission("1", [2], False)),
        ("/help", Command("help", "")),
        ('/ack  3 "a b" ', Command("ack", '3 "a b"')),
        ('"/path" 1', Emission("/path", [1], False)),
    ],
)
def test_a_line_is_an_event_or_a_command(line: str, parsed: object) -> None:
    assert parse_line(line) == parsed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("?", "begins with the name of the event"),
        ("null 1", "the name of an event is a word"),
        ('{"a": 1} 1', "the name of an event is a word"),
        ('set {"a":1}x', 'no space between {"a":1} and x'),
        ('set {"a":1', r"not JSON: \{\"a\":1 \(.* at character 7\)"),
        ("set 'a", "a single quote is not closed"),
        ('set @"a', "not JSON"),
    ],
)
def test_a_line_that_is_neither_is_refused(line: str, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        parse_line(line)


def test_values_alone_may_end_in_a_question_mark() -> None:
    assert parse_values("") == []
    assert parse_values('1 "a b"') == [1, "a b"]
    assert parse_values("ok ?") == ["ok", "?"]
