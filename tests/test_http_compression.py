"""Compression of long-polling answers and files, by what the client accepts."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from raw_client import EngineApp, RawPolling, SocketApp, assert_nothing_left
from siocore import HttpCompression, Request, Server
from siocore.http.compression import choose_coding, compress
from siocore.testing import TestServer
from siocore.testing.wire import Response

ALL = ("br", "gzip", "deflate")
DECODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
GZIP = [("Accept-Encoding", "gzip")]

# What browsers, curl, Node.js and proxies send, and each rule of RFC 9110, section 12.5.3.
CHOICES = [
    (None, None),
    ("", None),
    ("gzip, deflate, br, zstd", "br"),
    ("gzip, deflate", "gzip"),
    ("deflate, gzip", "gzip"),
    ("deflate", "deflate"),
    ("deflate, gzip;q=1.0, *;q=0.5", "gzip"),
    ("gzip;q=0.5, deflate;q=0.8", "deflate"),
    ("gzip;q=0.8,deflate;q=0.80", "gzip"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("gzip;Q=0.3", "gzip"),
    ("gzip ; q=0.3", "gzip"),
    ("*", "br"),
    ("*;q=0", None),
    ("*;q=0, gzip", "gzip"),
    ("br;q=0, *", "gzip"),
    ("br;q=0, gzip;q=0, *;q=0.1", "deflate"),
    ("gzip;q=0", None),
    ("gzip;q=0.000", None),
    ("gzip;q=0.001", "gzip"),
    ("identity", None),
    ("identity, gzip;q=0.5", None),
    ("identity;q=0.5, gzip;q=0.5", "gzip"),
    ("identity;q=0.4, gzip;q=0.5, deflate;q=0.45", "gzip"),
    ("identity;q=0, gzip", "gzip"),
    # Nothing that there is would do: an answer all the same.
    ("identity;q=0", None),
    ("identity;q=0, zstd", None),
    ("*;q=0, identity;q=0", None),
    ("zstd, compress", None),
    # Elements that are not well-formed say nothing.
    ("gzip;q=2", None),
    ("gzip;q=-1", None),
    ("gzip;q=0.1234", None),
    ("gzip;q=", None),
    ("gzip;q", None),
    ("gzip;level=9", None),
    ("gzip;q=nan, deflate", "deflate"),
    ("gzip gzip", None),
    (", ,gzip,,", "gzip"),
    (";;;;,=,q=1", None),
    ("gzi", None),
    ("gzip\x00", None),
    ("gz\xefp, \xff", None),
]


@pytest.mark.parametrize(("accepted", "chosen"), CHOICES)
def test_the_coding_is_what_the_client_weights_most(accepted: str | None, chosen: str | None) -> None:
    headers = [] if accepted is None else [(b"accept-encoding", accepted.encode("latin-1"))]
    assert choose_coding(Request("GET", "/", headers), ALL) == chosen


def test_several_headers_are_one_list() -> None:
    request = Request("GET", "/", [(b"accept-encoding", b"br;q=0"), (b"accept-encoding", b"gzip")])
    assert choose_coding(request, ALL) == "gzip"


def test_only_what_is_available_is_chosen() -> None:
    assert choose_coding(Request("GET", "/", [(b"accept-encoding", b"br, gzip;q=0.1")])) == "gzip"


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("body", [b"", b"x" * 100_000, bytes(range(256)) * 7])
def test_what_is_compressed_comes_back_and_has_no_date(coding: str, body: bytes) -> None:
    assert DECODERS[coding](compress(body, coding, 6)) == body
    assert compress(body, coding, 6) == compress(body, coding, 6)


# --- long-polling ----------------------------------------------------------------------------------------------------


def polled(engine: EngineApp, *messages: str | bytes, headers: list[tuple[str, str]]) -> Response:
    """The answer to a GET with these headers when these messages wait."""
    polling = RawPolling(engine.server)
    for message in messages:
        polling.session().send(message)
    response = polling.gets.request("GET", polling.target, headers)
    assert response is not None
    return response


@pytest.mark.parametrize("coding", DECODERS)
def test_a_long_answer_is_compressed(coding: str) -> None:
    response = polled(EngineApp(), "a" * 5_000, b"\x00" * 300, headers=[("Accept-Encoding", coding)])
    assert response.status == 200
    assert response.headers["content-encoding"] == coding
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) == len(response.body) < 200
    assert DECODERS[coding](response.body) == b"4" + b"a" * 5_000 + b"\x1eb" + b"A" * 400


def test_the_threshold_is_where_compression_begins() -> None:
    for size, coded in ((1_022, False), (1_023, True)):
        response = polled(EngineApp(), "a" * size, headers=GZIP)
        assert ("content-encoding" in response.headers) == coded
        assert ("vary" in response.headers) == coded
    engine = EngineApp(http_compression=HttpCompression(threshold=0))
    assert gzip.decompress(polled(engine, "", headers=GZIP).body) == b"4"


def test_who_does_not_ask_for_it_gets_the_plain_answer() -> None:
    response = polled(EngineApp(), "a" * 5_000, headers=[])
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.body == b"4" + b"a" * 5_000


def test_it_can_be_switched_off() -> None:
    response = polled(EngineApp(http_compression=False), "a" * 5_000, headers=GZIP)
    assert response.headers.keys().isdisjoint({"content-encoding", "vary"})


def test_the_level_is_an_option() -> None:
    text = "".join(str(number * number) for number in range(3_000))
    fast, small = (
        len(polled(EngineApp(http_compression=HttpCompression(level=level)), text, headers=GZIP).body)
        for level in (1, 9)
    )
    assert fast > small


def test_an_answer_is_plain_only_if_all_its_messages_ask_for_that() -> None:
    app = SocketApp(serve_client=False)
    polling = RawPolling(app.server)
    polling.post(b"40")
    polling.get()
    [socket] = app.app.sockets.sockets.values()

    def answer() -> Response:
        response = polling.gets.request("GET", polling.target, GZIP)
        assert response is not None
        return response

    socket.compress(False).emit("secret", "a" * 5_000)
    app.app.compress(False).emit("news", "b" * 5_000)
    response = answer()
    assert "content-encoding" not in response.headers
    assert response.body.count(b"\x1e") == 1
    socket.compress(False).emit("secret", "a" * 5_000)
    socket.emit("short")
    assert gzip.decompress(answer().body) == b'42["secret","%s"]\x1e42["short"]' % (b"a" * 5_000)


def test_pages_of_other_origins_are_told_of_both_headers_that_matter() -> None:
    engine = EngineApp(cors_origins=["https://app.example"])
    response = polled(engine, "a" * 5_000, headers=[*GZIP, ("Origin", "https://app.example")])
    assert {each.strip() for each in response.headers["vary"].split(",")} == {"Accept-Encoding", "Origin"}
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_away_around_its_answer_ends_its_session_once(reset: bool) -> None:
    for parked in (True, False):
        engine = EngineApp()
        polling = RawPolling(engine.server)
        session = polling.session()
        if parked:
            assert polling.gets.request("GET", polling.target, GZIP) is None
            session.send("a" * 5_000)
        else:
            session.send("a" * 5_000)
            assert polling.gets.request("GET", polling.target, GZIP) is not None
        if reset:
            polling.gets.stream.reset()
        else:
            polling.gets.stream.close()
        engine.server.advance(100)
        assert len(engine.closed) == 1
        polling.posts.stream.close()
        engine.server.settle()
        assert_nothing_left(engine.server)


# --- files -----------------------------------------------------------------------------------------------------------

SCRIPT = b"/* socket.io-client */ " * 500
PATH = "/socket.io/socket.io.js"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    for name in ("socket.io.js", "socket.io.min.js"):
        (tmp_path / name).write_bytes(SCRIPT)
    return tmp_path


def test_each_form_of_a_file_has_its_own_etag(dist: Path) -> None:
    (dist / "socket.io.js.br").write_bytes(b"brotli")
    server = TestServer(Server(client_dist=dist))
    forms = {
        coding: server.request("GET", PATH, [("Accept-Encoding", coding)])
        for coding in ("identity", "gzip", "deflate", "br")
    }
    assert len({form.headers["etag"] for form in forms.values()}) == 4
    for coding, form in forms.items():
        assert form.headers["vary"] == "Accept-Encoding"
        assert form.headers["content-type"] == "application/javascript; charset=utf-8"
        assert form.headers.get("content-encoding", "identity") == coding
    assert forms["br"].body == b"brotli"
    assert [decode(forms[coding].body) for coding, decode in DECODERS.items()] == [SCRIPT] * 2


def test_304_is_for_the_form_that_would_be_sent(dist: Path) -> None:
    server = TestServer(Server(client_dist=dist))
    plain, coded = (server.request("GET", PATH, headers).headers["etag"] for headers in ([], GZIP))
    for etag, headers, status in ((plain, [], 304), (coded, GZIP, 304), (plain, GZIP, 200), (coded, [], 200)):
        for form in ("{}", "W/{}", '"x", {}'):
            response = server.request("GET", PATH, [*headers, ("If-None-Match", form.format(etag))])
            assert response.status == status
    response = server.request("GET", PATH, [*GZIP, ("If-None-Match", coded)])
    assert response.body == b""
    assert response.headers["etag"] == coded
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["cache-control"] == "public, max-age=0"
    assert [name for name in response.headers if name.startswith("content-")] == []


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
def test_head_has_the_headers_of_the_coded_answer(dist: Path, coding: str) -> None:
    server = TestServer(Server(client_dist=dist))
    headers = [("Accept-Encoding", coding)]
    get, head = (server.request(method, PATH, headers) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers == get.headers
    assert int(head.headers["content-length"]) == len(get.body)


def test_forms_that_lie_beside_a_file_are_sent_as_they_are(dist: Path) -> None:
    made_before = gzip.compress(SCRIPT, 1, mtime=7)
    (dist / "socket.io.js.gz").write_bytes(made_before)
    server = TestServer(Server(client_dist=dist))
    # Nobody needs the file itself.
    (dist / "socket.io.js").unlink()
    assert server.request("GET", PATH, GZIP).body == made_before
    assert server.request("GET", PATH + "?v=1", GZIP).body == made_before
    assert server.request("GET", PATH + ".gz").status == 404


def test_a_file_is_read_and_compressed_once_and_not_before_it_is_asked_for(dist: Path) -> None:
    server = TestServer(Server(client_dist=dist))
    (dist / "socket.io.js").write_bytes(b"changed " * 500)
    first = server.request("GET", PATH, GZIP)
    assert gzip.decompress(first.body) == b"changed " * 500
    (dist / "socket.io.js").unlink()
    assert server.request("GET", PATH, GZIP) == first
    assert server.request("GET", PATH).body == b"changed " * 500


def test_switched_off_files_are_sent_as_they_are(dist: Path) -> None:
    (dist / "socket.io.js.gz").write_bytes(b"never")
    response = TestServer(Server(client_dist=dist, http_compression=False)).request("GET", PATH, GZIP)
    assert response.body == SCRIPT
    assert response.headers.keys().isdisjoint({"content-encoding", "vary"})


def test_the_bundle_answers_pages_of_allowed_origins(dist: Path) -> None:
    server = TestServer(Server(client_dist=dist, cors_origins=["https://app.example"]))
    response = server.request("GET", PATH, [*GZIP, ("Origin", "https://app.example")])
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    assert {each.strip() for each in response.headers["vary"].split(",")} == {"Accept-Encoding", "Origin"}


def test_files_of_the_application_are_compressed_where_that_helps() -> None:
    app = SocketApp(serve_client=False)
    picture = b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(100))
    app.app.add_resource("/page", b"<p>page</p>" * 200, "text/html")
    app.app.add_resource("/short", b"<p>short</p>" * 50, "text/html")
    app.app.add_resource("/picture", picture, "image/png")
    coded = {
        path: "content-encoding" in app.server.request("GET", path, GZIP).headers
        for path in ("/page", "/short", "/picture")
    }
    assert coded == {"/page": True, "/short": False, "/picture": False}
    assert app.server.request("GET", "/picture", GZIP).body == picture
