"""A message of the server's own that every client gets behind the OPEN packet."""

from __future__ import annotations

import json

import pytest

from siocore import EngineServer, ServerOptions
from siocore.testing import EngineClient, TestServer


@pytest.mark.parametrize(
    ("initial", "over_polling"), [("héllo", "4héllo".encode()), (b"\x00\xff", b"bAP8=")], ids=["text", "binary"]
)
def test_over_long_polling_it_is_part_of_the_first_answer(initial: str | bytes, over_polling: bytes) -> None:
    with TestServer(EngineServer(initial_packet=initial)) as server:
        answer = server.request("GET", "/engine.io/?EIO=4&transport=polling")
        opened, _, rest = answer.body.partition(b"\x1e")
        assert json.loads(opened[1:])["upgrades"] == ["websocket"]
        assert rest == over_polling


def test_a_client_of_revision_3_gets_it_in_the_form_of_that() -> None:
    with TestServer(EngineServer(initial_packet="héllo", allow_eio3=True)) as server:
        answer = server.request("GET", "/engine.io/?EIO=3&transport=polling&b64=1")
        assert answer.body.decode().endswith("6:4héllo")


@pytest.mark.parametrize("initial", ["hello", b"\x00\xff"], ids=["text", "binary"])
@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_it_is_the_first_message_over_every_transport(mode: str, initial: str | bytes) -> None:
    app = EngineServer(initial_packet=initial)

    @app.on("connection")
    def opened(session: object) -> None:
        next(iter(app.sessions)).send("second")

    with TestServer(app) as server:
        client = EngineClient(server, mode)
        client.open()
        server.run_until(lambda: len(client.received) == 2)
        assert list(client.received) == [initial, "second"]


@pytest.mark.parametrize("initial", [5, ["a"], bytearray(b"x")])
def test_anything_but_text_and_bytes_is_refused(initial: object) -> None:
    with pytest.raises(ValueError, match="initial_packet must be str or bytes"):
        ServerOptions(initial_packet=initial)  # type: ignore[arg-type]
