"""Streams of WebSocket frames as clients send them, for Hypothesis, and wsproto as the oracle."""

from __future__ import annotations

from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from client_frames import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, client_frame, close_payload

__all__ = ["BAD_UTF8", "CUT_UTF8", "Oracle", "streams"]

BAD_UTF8 = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf8\x88\x80\x80\x80",
    b"\x80",
]
CUT_UTF8 = [b"\xce", b"\xe2\x82", b"\xf0\x9f\x98"]


class Oracle:
    """wsproto alone, its message events joined."""

    def __init__(self, role: ConnectionType = ConnectionType.SERVER) -> None:
        self.connection = Connection(role)
        self.messages: list[str | bytes] = []
        self.text = ""
        self.data = b""
        self.close_code: int | None = None
        self.failed = False
        self.pong: bytes | None = None

    def receive_data(self, data: bytes) -> None:
        if self.close_code is not None:
            return
        self.connection.receive_data(data)
        for event in self.connection.events():
            if isinstance(event, TextMessage):
                self.text += event.data
                if event.message_finished:
                    self.messages.append(self.text)
                    self.text = ""
            elif isinstance(event, BytesMessage):
                self.data += event.data
                if event.message_finished:
                    self.messages.append(self.data)
                    self.data = b""
            elif isinstance(event, Ping):
                self.pong = bytes(event.payload)
            elif isinstance(event, CloseConnection):
                self.close_code = int(event.code)
                self.failed = self.connection.state is ConnectionState.OPEN


payloads = st.one_of(
    st.text(max_size=30).map(str.encode),
    st.binary(max_size=30),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * 300, "é€\U0001f600".encode() * 30, *BAD_UTF8, *CUT_UTF8]),
)
plain_frames = st.builds(
    client_frame,
    st.sampled_from([TEXT, TEXT, BINARY, PING, PONG]),
    st.one_of(st.text(max_size=30).map(str.encode), st.sampled_from([b"", b"x" * 125, b"\xc3\xa9" * 60])),
)


@st.composite
def fragmented_messages(draw: st.DrawFn) -> bytes:
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    payload = draw(payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), min_size=1, max_size=4)))
    frames = []
    for i, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
        if draw(st.integers(0, 3)) == 0:
            frames.append(client_frame(draw(st.sampled_from([PING, PONG])), b"%d" % i))
        frames.append(client_frame(CONTINUATION if i else opcode, payload[start:end], fin=i == len(cuts)))
    return b"".join(frames)


odd_frames = st.builds(
    client_frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE, 0x3, 0xB]),
    payloads.filter(lambda payload: len(payload) <= 125),
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([0, 0, 0, 1, 4]),
    key=st.sampled_from([KEY, b"\0\0\0\0", b"\xff\xfe\x80\x01", None]),
    width=st.sampled_from([None, None, 2, 8]),
)
closes = st.builds(
    client_frame,
    st.just(CLOSE),
    st.one_of(
        st.just(b""),
        st.builds(close_payload, st.sampled_from([1000, 1001, 1005, 1006, 3000, 4999, 5000, 999]), payloads).map(
            lambda payload: payload[:125]
        ),
    ),
)
streams = st.tuples(
    st.lists(st.one_of(plain_frames, plain_frames, fragmented_messages()), max_size=5).map(b"".join),
    st.one_of(st.just(b""), odd_frames, closes, st.binary(max_size=40), fragmented_messages()),
    st.lists(plain_frames, max_size=1).map(b"".join),
).map(b"".join)
