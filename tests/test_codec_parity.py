"""The compiled codecs do what the pure ones do: on values, on failures, and on arguments of other types."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import json_corpus as json_cases
import siocore
import socketio_corpus as socketio_cases
import test_codec_engineio as engineio_cases
from codec_builds import codec, needs_compiled, outcome
from siocore import _speedups
from siocore.options import Limits

BUILDS = ("python", "cython")
CODEC_NAMES = {
    "engineio": ["decode_packet", "decode_payload", "encode_binary_packet", "encode_payload"],
    "json": ["dumps", "loads"],
    "socketio": ["Packet", "Reconstructor", "decode_socket_packet", "encode_packet"],
}
ANYTHING: list[Any] = [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "4", b"", b"4", bytearray(b"4"), [], [b"4"], {}]
STRICT = Limits(max_attachments=2, max_json_depth=3, max_namespace_length=4, max_event_name=3, max_payload=5)


class Tuple(tuple[object, ...]):
    __slots__ = ()


def shown(result: Any) -> str:
    # repr() tells 1 from 1.0 and from True, and what a list in a tuple holds.
    return repr(result)


def assert_same(run: Callable[[Any], Any], *names: str) -> None:
    """``run`` gets the modules ``names`` of each build in turn; both must do the same."""
    results = [shown(outcome(run, *(codec(build, name) for name in names))) for build in BUILDS]
    assert results[0] == results[1]


@needs_compiled
@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in CODEC_NAMES.items() for name in names]
)
def test_both_builds_have_the_same_public_names(module: str, name: str) -> None:
    for build in BUILDS:
        assert name in codec(build, module).__all__
        assert hasattr(codec(build, module), name)


@needs_compiled
def test_compiled_modules_are_compiled_with_their_types() -> None:
    # Without its .pxd a Python file compiles all the same, slowly: its private functions are then Python objects.
    assert hasattr(codec("python", "json"), "_to_plain")
    assert not hasattr(codec("cython", "json"), "_to_plain")
    for module in CODEC_NAMES:
        assert str(codec("cython", module).__file__).endswith((".so", ".pyd"))


@needs_compiled
@pytest.mark.parametrize("text", [text for text, _ in engineio_cases.PACKETS] + engineio_cases.BAD_PACKETS)
def test_engineio_packets(text: str) -> None:
    assert_same(lambda engineio: engineio.decode_packet(text), "engineio")
    body = f"4before\x1e{text}\x1e4behind".encode()
    assert_same(lambda engineio: engineio.decode_payload(body), "engineio")


PAYLOAD_PIECES = [
    b"4",
    b"2",
    b"7",
    b"b",
    b"\x1e",
    b"AQID",
    b"==",
    b"hello, world",
    "é€😀".encode(),
    b"\xff",
    b"\xe2\x82",
]


@needs_compiled
@given(st.binary() | st.lists(st.sampled_from(PAYLOAD_PIECES)).map(b"".join))
def test_engineio_payloads(body: bytes) -> None:
    assert_same(lambda engineio: engineio.decode_payload(body), "engineio")
    assert_same(lambda engineio: engineio.encode_binary_packet(body), "engineio")


@needs_compiled
@pytest.mark.parametrize("name", CODEC_NAMES["engineio"])
@pytest.mark.parametrize("value", ANYTHING, ids=repr)
def test_engineio_with_any_argument(name: str, value: Any) -> None:
    assert_same(lambda engineio: getattr(engineio, name)(value), "engineio")


@needs_compiled
@pytest.mark.parametrize(
    "text", [text for text, _ in json_cases.ACCEPTED] + json_cases.REFUSED, ids=lambda text: ascii(text)[:30]
)
@pytest.mark.parametrize("depth", [1, 128])
def test_json_texts(text: str, depth: int) -> None:
    assert_same(lambda json: json.loads(text, depth), "json")
    assert_same(lambda json: json.loads(f'["\\ud800",{text}]', depth), "json")


@needs_compiled
@given(json_cases.JSON_VALUES, st.integers(0, 5))
def test_json_of_any_depth(value: object, depth: int) -> None:
    def run(json: Any) -> object:
        return json.loads(json.dumps(value, []).decode(), depth)

    assert_same(run, "json")


def written(value: object) -> Callable[[Any], object]:
    def run(json: Any) -> object:
        attachments: list[bytes] = [b"before"]
        return outcome(json.dumps, value, attachments), attachments

    return run


@needs_compiled
@pytest.mark.parametrize(
    "value",
    [value for value, _, _ in json_cases.WRITTEN] + json_cases.UNSENDABLE,
    ids=lambda value: type(value).__name__,
)
def test_json_values(value: object) -> None:
    assert_same(written(value), "json")
    assert_same(written([json_cases.LONE, value]), "json")


@needs_compiled
@pytest.mark.parametrize("value", ANYTHING, ids=repr)
def test_json_with_any_argument(value: Any) -> None:
    assert_same(lambda json: json.loads(value, 5), "json")
    assert_same(lambda json: json.loads("[" * 20 + "]" * 20, value), "json")
    assert_same(lambda json: json.loads("[[1]]", value), "json")
    assert_same(lambda json: json.dumps(value, []), "json")
    assert_same(lambda json: json.dumps([b"x"], copy(value)), "json")


def decoded(text: Any, start: Any, limits: Any, blobs: list[Any]) -> Callable[[Any], object]:
    def run(socketio: Any) -> object:
        packet = socketio.decode_socket_packet(text, start, limits)
        steps: list[object] = [socketio_cases.fields(packet), shown(packet)]
        reconstructor = socketio.Reconstructor(packet, limits)
        for blob in blobs:
            steps.append(outcome(reconstructor.add, blob))
            steps.append(shown(socketio_cases.fields(packet)))
        return steps

    return run


ALL_TEXTS = [
    *[text for text, _ in socketio_cases.EXAMPLES],
    *[text for text, _ in socketio_cases.DECODED],
    *socketio_cases.BAD_PACKETS,
    *[text for _, *texts in socketio_cases.AT_LIMITS for text in texts],
]


@needs_compiled
@pytest.mark.parametrize("text", ALL_TEXTS, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("limits", [Limits(), STRICT], ids=["default", "strict"])
def test_socketio_texts(text: str, limits: Limits) -> None:
    assert_same(decoded(text, 0, limits, [b"ab", b"", b"cdef"]), "socketio")
    assert_same(decoded("4" + text, 1, limits, [b"abcdef", "text", b""]), "socketio")
    # Strings of one, two and four bytes per character.
    for character in "é€😀":
        assert_same(decoded(character + text, 1, limits, [b"ab", b""]), "socketio")


@needs_compiled
@given(socketio_cases.PIECES, st.integers(-2, 3), st.lists(st.binary(max_size=4), max_size=3))
def test_socketio_pieces_of_texts(text: str, start: int, blobs: list[bytes]) -> None:
    assert_same(decoded(text, start, Limits(), blobs), "socketio")
    assert_same(decoded(text, start, STRICT, blobs), "socketio")


@needs_compiled
@pytest.mark.parametrize(
    "packet",
    [*[packet for _, packet in socketio_cases.EXAMPLES], *socketio_cases.UNSENDABLE],
    ids=lambda packet: ascii(packet)[:30],
)
def test_socketio_packets(packet: tuple[Any, ...]) -> None:
    assert_same(lambda socketio: socketio.encode_packet(*packet), "socketio")


@needs_compiled
@given(st.integers(-1, 7), socketio_cases.NAMESPACES | st.text(), st.lists(socketio_cases.VALUES), socketio_cases.IDS)
def test_socketio_packets_of_any_values(kind: int, namespace: str, data: list[object], number: int | None) -> None:
    assert_same(lambda socketio: socketio.encode_packet(kind, namespace, data, number), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(2, namespace, ["e", *data], number), "socketio")


NEARLY_PLACEHOLDERS = st.lists(st.sampled_from(["_placeholder", "true", *'_"\\:{}x'])).map("".join)


@needs_compiled
@given(st.lists(NEARLY_PLACEHOLDERS | st.binary(max_size=1)))
def test_socketio_packets_that_look_as_if_they_had_placeholders(data: list[object]) -> None:
    assert_same(lambda socketio: socketio.encode_packet(2, "/", ["e", *data], None), "socketio")
    members = {repr(item): item for item in data} | {item: True for item in data if isinstance(item, str)}
    assert_same(lambda socketio: socketio.encode_packet(2, "/", ["e", b"x", members], None), "socketio")


@needs_compiled
@given(
    st.recursive(
        st.sampled_from([socketio_cases.hole(number) for number in (0, 1, 2, -1, True, 0.0, None)])
        | st.fixed_dictionaries(
            {}, optional={"_placeholder": st.sampled_from([True, False, 1]), "num": st.integers(-1, 2)}
        )
        | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
        max_leaves=6,
    )
)
def test_socketio_placeholders_anywhere(data: object) -> None:
    assert_same(decoded(f'52-["e",{json.dumps(data)}]', 0, Limits(), [b"a", b"b"]), "socketio")


@needs_compiled
@pytest.mark.parametrize("kind", [json_cases.Items, Tuple])
@pytest.mark.parametrize("data", [[], ["e"], ["connect"], [b"x"], [json_cases.Text("connect")], [json_cases.Number(1)]])
def test_socketio_data_of_subclasses(kind: Callable[[list[object]], object], data: list[object]) -> None:
    assert_same(lambda socketio: socketio.encode_packet(2, "/", kind(data), None), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(3, "/", kind(data), json_cases.Number(7)), "socketio")


@needs_compiled
def test_socketio_object_that_was_never_initialised_is_no_crash() -> None:
    compiled = codec("cython", "socketio")
    reconstructor = compiled.Reconstructor.__new__(compiled.Reconstructor)
    with pytest.raises(AttributeError):
        reconstructor.add(b"x")
    reconstructor = compiled.Reconstructor(compiled.Packet.__new__(compiled.Packet), Limits())
    with pytest.raises(TypeError):
        reconstructor.add(b"x")


@needs_compiled
@pytest.mark.parametrize("value", ANYTHING, ids=repr)
def test_socketio_with_any_argument(value: Any) -> None:
    assert_same(decoded(value, 0, Limits(), []), "socketio")
    assert_same(decoded('2["a"]', value, Limits(), []), "socketio")
    assert_same(decoded('51-["a",1]', 0, Limits(), [value]), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(value, "/", ["a"], 1), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(2, value, ["a"], 1), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(2, "/", value, 1), "socketio")
    assert_same(lambda socketio: socketio.encode_packet(3, "/", ["a"], value), "socketio")
    assert_same(lambda socketio: socketio.Reconstructor(value, Limits()), "socketio")
    assert_same(lambda socketio: socketio_cases.fields(socketio.Packet(value, value, value, value, value)), "socketio")


# The choice between them.


def test_selector_offers_every_codec_from_one_build() -> None:
    build = _speedups.IMPLEMENTATION
    for module, names in CODEC_NAMES.items():
        for name in names:
            assert name in _speedups.__all__
            assert getattr(_speedups, name) is getattr(codec(build, module), name)


def implementation(package: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask a fresh interpreter which build the siocore in the folder ``package`` has chosen."""
    inherited = {name: value for name, value in os.environ.items() if name != "SIOCORE_NO_EXTENSIONS"}
    return subprocess.run(
        [sys.executable, "-c", "from siocore._speedups import IMPLEMENTATION; print(IMPLEMENTATION)"],
        env={**inherited, "PYTHONPATH": str(package), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    """A copy of the package whose compiled modules can be taken away."""
    source = Path(siocore.__path__[0])
    shutil.copytree(source, tmp_path / "siocore", ignore=shutil.ignore_patterns("__pycache__", "_client"))
    return tmp_path


def compiled_files(package: Path, name: str = "*") -> list[Path]:
    # Of this interpreter: another one may have built into the same checkout.
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return list((package / "siocore" / "_speedups").glob(f"{name}{suffix}"))


def test_pure_python_is_used_where_nothing_was_built(copied_package: Path) -> None:
    for file in compiled_files(copied_package):
        file.unlink()
    assert implementation(copied_package).stdout == "python\n"


@needs_compiled
def test_pure_python_is_used_where_it_is_asked_for(copied_package: Path) -> None:
    assert implementation(copied_package).stdout == "cython\n"
    assert implementation(copied_package, SIOCORE_NO_EXTENSIONS="").stdout == "cython\n"
    assert implementation(copied_package, SIOCORE_NO_EXTENSIONS="0").stdout == "cython\n"
    assert implementation(copied_package, SIOCORE_NO_EXTENSIONS="1").stdout == "python\n"


@needs_compiled
@pytest.mark.parametrize("name", ["_engineio", "_frames", "_json", "_socketio"])
def test_compiled_module_that_is_cut_short_is_an_error(copied_package: Path, name: str) -> None:
    (file,) = compiled_files(copied_package, name)
    file.write_bytes(file.read_bytes()[:10])
    answer = implementation(copied_package)
    assert "ImportError" in answer.stderr
    assert answer.stdout == ""
    assert implementation(copied_package, SIOCORE_NO_EXTENSIONS="1").stdout == "python\n"


@needs_compiled
@pytest.mark.parametrize("name", ["_engineio", "_json", "_socketio"])
def test_compiled_module_that_is_missing_among_others_is_an_error(copied_package: Path, name: str) -> None:
    (file,) = compiled_files(copied_package, name)
    file.unlink()
    answer = implementation(copied_package)
    assert "ModuleNotFoundError" in answer.stderr
    assert answer.stdout == ""


@needs_compiled
def test_compiled_module_that_misses_another_module_is_an_error(copied_package: Path) -> None:
    for file in compiled_files(copied_package, "_heads"):
        file.unlink()
    (copied_package / "siocore" / "_speedups" / "_heads.py").write_text("import a_module_that_is_nowhere\n")
    answer = implementation(copied_package)
    assert "a_module_that_is_nowhere" in answer.stderr
    assert answer.stdout == ""


@needs_compiled
def test_module_compiled_in_place_that_is_missing_is_an_error(copied_package: Path) -> None:
    for file in (copied_package / "siocore").glob(f"timers{sysconfig.get_config_var('EXT_SUFFIX')}"):
        file.unlink()
    answer = implementation(copied_package)
    assert "siocore.timers is missing in the compiled build" in answer.stderr
    assert answer.stdout == ""
    assert implementation(copied_package, SIOCORE_NO_EXTENSIONS="1").stdout == "python\n"


def test_codecs_import_nothing_above_them() -> None:
    for module in CODEC_NAMES:
        source = Path(str(importlib.import_module(f"siocore.codec.{module}").__file__)).read_text()
        imports = {line.split()[1] for line in source.splitlines() if line.lstrip().startswith("from siocore")}
        assert imports <= {"siocore.errors", "siocore.options", "siocore.codec.json", "siocore.codec.rules"}
