"""The answer to a GET is lost on its way: with packets in it the session is over, without it is not."""

from __future__ import annotations

import json

from siocore import Connection, EngineServerProtocol, Session
from siocore.events import SessionOpened
from siocore.testing.wire import TEXT, WEBSOCKET_HEADERS, masked_frame, request_bytes

TARGET = "/engine.io/?EIO=4&transport="


class Upgrading:
    """A session by long-polling whose WebSocket has been probed, and a GET that is parked."""

    def __init__(self) -> None:
        self.protocol = EngineServerProtocol()
        handshake = self.send(self.connect(), request_bytes("GET", f"{TARGET}polling"))
        sid = json.loads(handshake.partition(b"\r\n\r\n0")[2])["sid"]
        opened = self.protocol.next_event()
        assert isinstance(opened, SessionOpened)
        self.session: Session = opened.session
        self.poll = request_bytes("GET", f"{TARGET}polling&sid={sid}")
        self.websocket = self.connect()
        self.send(self.websocket, request_bytes("GET", f"{TARGET}websocket&sid={sid}", WEBSOCKET_HEADERS))
        assert self.send(self.websocket, masked_frame(TEXT, b"2probe")) == b"\x81\x063probe"
        self.get = self.connect()
        self.get.receive_data(self.poll, now=0)

    def connect(self) -> Connection:
        return self.protocol.connection_made(None, now=0)

    def send(self, connection: Connection, data: bytes) -> bytes:
        """What comes back on the same connection; what is for others stays with them."""
        connection.receive_data(data, now=0)
        self.protocol.take_ready()
        return connection.data_to_send()


def test_a_session_that_has_upgraded_outlives_the_answer_that_released_its_get() -> None:
    upgrading = Upgrading()
    upgrading.send(upgrading.websocket, masked_frame(TEXT, b"5"))
    assert upgrading.get.has_output
    upgrading.get.connection_lost(now=0)
    assert upgrading.session.open
    assert upgrading.session.transport == "websocket"


def test_what_waits_at_the_upgrade_leaves_by_the_websocket_and_not_in_an_answer_that_may_be_lost() -> None:
    upgrading = Upgrading()
    upgrading.session.send("kept")
    assert upgrading.send(upgrading.websocket, masked_frame(TEXT, b"5")) == b"\x81\x054kept"
    assert upgrading.get.data_to_send().endswith(b"\r\n\r\n6")
    assert upgrading.session.open


def test_a_session_that_has_upgraded_outlives_the_answer_to_a_stray_get() -> None:
    upgrading = Upgrading()
    upgrading.send(upgrading.websocket, masked_frame(TEXT, b"5"))
    stray = upgrading.connect()
    stray.receive_data(upgrading.poll, now=0)
    assert stray.has_output
    stray.connection_lost(now=0)
    assert upgrading.session.open


def test_a_session_by_long_polling_does_not_outlive_an_answer_with_packets() -> None:
    upgrading = Upgrading()
    upgrading.session.send("lost")
    upgrading.protocol.take_ready()
    assert upgrading.get.has_output
    upgrading.get.connection_lost(now=0)
    assert not upgrading.session.open
