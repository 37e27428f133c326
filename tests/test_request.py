"""Requests: query parameters and headers as the protocol layers see them."""

from __future__ import annotations

from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st

from siocore import Request


def request(target: str, headers: list[tuple[bytes, bytes]] | None = None, **more: object) -> Request:
    return Request("GET", target, headers or [], **more)  # type: ignore[arg-type]


def test_a_parameter_that_is_repeated_has_no_value() -> None:
    repeated = request("/socket.io/?transport=polling&transport=websocket&EIO=4")
    assert repeated.parameter("transport") is None
    assert repeated.parameter("EIO") == "4"
    assert repeated.parameter("sid") is None
    assert repeated.query["transport"] == ["polling", "websocket"]


def test_parameters_are_percent_decoded_and_bad_utf8_is_no_error() -> None:
    assert request("/?a=%C3%A9&b=%FF&c=").query == {"a": ["é"], "b": ["\ufffd"], "c": [""]}


def test_headers_are_case_insensitive_and_joined() -> None:
    headers = request("/", [(b"x-one", b"1"), (b"X-One", b"2"), (b"bytes", b"\xff")]).headers
    assert headers["X-ONE"] == "1, 2"
    assert headers["bytes"] == "ÿ"
    assert headers.get("missing") is None
    assert dict(headers) == {"x-one": "1, 2", "bytes": "ÿ"}


def test_the_address_is_the_peers_without_its_port() -> None:
    assert request("/", peer=("::1", 4711, 0, 0)).address == "::1"
    assert request("/", peer="/run/app.sock").address == "/run/app.sock"
    assert request("/").address is None
    assert request("/", peer="").address is None


def test_a_representation_does_not_show_the_query_where_the_sid_is() -> None:
    assert "secret" not in repr(request("/socket.io/?sid=secret"))


@given(st.lists(st.text(alphabet="ab=;,%+", max_size=6), max_size=4).map("&".join))
def test_plain_and_encoded_queries_are_read_by_the_same_rules(query: str) -> None:
    assert request("/?" + query).query == parse_qs(query, keep_blank_values=True, errors="replace")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"x", b"cookie"]), st.binary(max_size=8).map(lambda v: v.replace(b"\n", b""))
        )
    ),
)
def test_a_compact_request_tells_the_same(headers: list[tuple[bytes, bytes]]) -> None:
    plain, compact = request("/?a=1&a=2&b=%20", list(headers)), request("/?a=1&a=2&b=%20", list(headers))
    assert compact.query == plain.query
    compact.compact()
    assert compact.headers.raw == plain.headers.raw
    assert dict(compact.headers) == dict(plain.headers)
    assert compact.header_values(b"x") == plain.header_values(b"x")
    assert compact.query == plain.query


@given(st.text("ab=&%+", max_size=12), st.sampled_from(["", "a", "b", "ab"]))
def test_a_parameter_asked_for_is_what_the_mapping_has(query: str, name: str) -> None:
    asked, mapped = request("/?" + query), request("/?" + query).query
    assert asked.parameters(name) == mapped.get(name, [])
    assert asked.parameter(name) == (mapped[name][0] if len(mapped.get(name, [])) == 1 else None)
    assert asked.query == mapped
