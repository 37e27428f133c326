"""What is answered from memory: the browser bundle and the application's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from raw_client import RawHttp, RawPolling, SocketApp
from siocore import Server
from siocore.testing import TestServer

SCRIPT = b"/* socket.io-client */"
NAMES = [f"socket.io{kind}.js{end}" for kind in ("", ".min", ".esm.min", ".msgpack.min") for end in ("", ".map")]


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(SCRIPT + name.encode())
    (tmp_path / "package.json").write_bytes(b"{}")
    return tmp_path


@pytest.fixture
def server(dist: Path) -> TestServer:
    return TestServer(Server(client_dist=dist))


@pytest.mark.parametrize("name", NAMES)
def test_each_file_of_the_bundle_has_its_route(server: TestServer, name: str) -> None:
    response = server.request("GET", f"/socket.io/{name}")
    assert (response.status, response.body) == (200, SCRIPT + name.encode())
    kind = "json" if name.endswith(".map") else "javascript"
    assert response.headers["content-type"] == f"application/{kind}; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=0"
    assert response.headers["etag"].startswith('"')


@pytest.mark.parametrize("query", ["", "?v=1", "?EIO=4&transport=polling"])
def test_a_query_does_not_matter(server: TestServer, query: str) -> None:
    assert server.request("GET", f"/socket.io/socket.io.js{query}").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/socket.io/package.json",
        "/socket.io/../socket.io/socket.io.js",
        "/socket.io/%2e%2e/secret",
        "/socket.io//socket.io.js",
        "/socket.io/socket.io.js/",
        "/socket.io/socket.io.js.map.map",
        "/socket.io/SOCKET.IO.JS",
        "/socket.io.js",
        "/",
        "/etc/passwd",
    ],
)
def test_nothing_else_has_one(server: TestServer, path: str) -> None:
    assert server.request("GET", path).status == 404


def test_other_files_have_other_etags(server: TestServer) -> None:
    etags = {server.request("GET", f"/socket.io/{name}").headers["etag"] for name in NAMES}
    assert len(etags) == len(NAMES)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x",{} , "y"', "*"])
def test_a_browser_that_has_the_file_gets_304(server: TestServer, form: str) -> None:
    etag = server.request("GET", "/socket.io/socket.io.js").headers["etag"]
    response = server.request("GET", "/socket.io/socket.io.js", [("If-None-Match", form.format(etag))])
    assert (response.status, response.body) == (304, b"")
    assert response.headers["etag"] == etag
    assert "content-length" not in response.headers


@pytest.mark.parametrize("condition", ['"x"', "", "x", '"'])
def test_a_browser_with_another_version_gets_the_file(server: TestServer, condition: str) -> None:
    response = server.request("GET", "/socket.io/socket.io.js", [("If-None-Match", condition)])
    assert response.status == 200


def test_head_gets_the_same_headers_and_no_body(server: TestServer) -> None:
    get = server.request("GET", "/socket.io/socket.io.js")
    head = server.request("HEAD", "/socket.io/socket.io.js")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == get.headers


def test_options_tells_the_methods(server: TestServer) -> None:
    response = server.request("OPTIONS", "/socket.io/socket.io.js")
    assert (response.status, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_get_405(server: TestServer, method: str) -> None:
    response = server.request(method, "/socket.io/socket.io.js")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_several_requests_share_a_connection(server: TestServer) -> None:
    http = RawHttp(server)
    for _ in range(3):
        for method in ("GET", "HEAD", "GET"):
            response = http.request(method, "/socket.io/socket.io.js")
            assert response is not None
            assert response.status == 200


def test_pipelined_requests_are_answered_in_order(server: TestServer) -> None:
    http = RawHttp(server)
    http.send(b"".join(b"GET /socket.io/%s HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode() for name in NAMES[1:]))
    assert [response.body for response in http.responses] == [SCRIPT + name.encode() for name in NAMES[2:]]


def test_a_body_is_read_and_ignored(server: TestServer) -> None:
    http = RawHttp(server)
    first = http.request("POST", "/socket.io/socket.io.js", body=b"x" * 1_000)
    second = http.request("GET", "/socket.io/socket.io.js")
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (405, 200)


def test_without_the_bundle_a_sentence_tells_what_to_do() -> None:
    response = TestServer(Server(serve_client=False)).request("GET", "/socket.io/socket.io.js")
    assert response.status == 404
    assert b"SIOCORE_CLIENT_DIST" in response.body
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_another_path_is_told_where_socket_io_is() -> None:
    response = TestServer(Server(path="/live", serve_client=False)).request("GET", "/")
    assert (response.status, response.body) == (404, b"Not Found: this server speaks Socket.IO at /live/\n")


def test_the_bundle_moves_with_the_path(dist: Path) -> None:
    server = TestServer(Server(path="/live", client_dist=dist))
    assert server.request("GET", "/live/socket.io.js").status == 200
    assert server.request("GET", "/socket.io/socket.io.js").status == 404


def test_a_folder_without_the_bundle_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"no socket\.io\.js"):
        Server(client_dist=tmp_path)
    monkeypatch.setenv("SIOCORE_CLIENT_DIST", str(tmp_path))
    with pytest.raises(ValueError, match=r"no socket\.io\.js"):
        Server()


def test_the_environment_names_a_folder_too(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIOCORE_CLIENT_DIST", str(dist))
    assert TestServer(Server()).request("GET", "/socket.io/socket.io.js").body == SCRIPT + b"socket.io.js"


def test_an_application_adds_its_own_page() -> None:
    app = SocketApp(serve_client=False)
    app.app.add_resource("/", "<p>ü</p>".encode(), "text/html; charset=utf-8")
    response = app.server.request("GET", "/?x=1")
    assert (response.status, response.body) == (200, "<p>ü</p>".encode())
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert app.server.request("GET", "/", [("If-None-Match", response.headers["etag"])]).status == 304


def test_a_resource_may_be_fetched_on_the_connection_that_polls() -> None:
    app = SocketApp(serve_client=False)
    app.app.add_resource("/page", b"page", "text/html")
    polling = RawPolling(app.server)
    page = polling.gets.request("GET", "/page")
    assert page is not None
    assert page.body == b"page"
    assert polling.get() is None
