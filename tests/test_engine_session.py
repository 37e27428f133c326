"""One session through every state of its transport with every input, as bytes on the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raw_client import EngineApp, RawPolling, RawWebSocket
from siocore.engineio.states import (
    TRANSPORT,
    SessionState,
    TransportAction,
    TransportInput,
    TransportState,
)


class Scene:
    """A session that was brought to a state, and the WebSocket that brought it there."""

    def __init__(self, state: TransportState) -> None:
        self.engine = EngineApp()
        self.polling = RawPolling(self.engine.server)
        self.websocket: RawWebSocket = self.polling.websocket()
        if state is TransportState.POLLING:
            # The candidate says a wrong thing and is dropped.
            self.websocket.send("4too early")
        elif state is TransportState.PROBED:
            assert self.websocket.send("2probe") == ["3probe"]
        elif state is TransportState.WEBSOCKET:
            self.websocket.send("2probe", "5")
        self.session = self.engine.opened[0]
        self.engine.messages.clear()

    @property
    def state(self) -> TransportState:
        state: TransportState = self.session._transport
        return state


def second_websocket(scene: Scene) -> None:
    opened = scene.polling.websocket()
    assert opened.response is not None
    taken = scene.state is TransportState.CANDIDATE and opened.response.status == 101
    assert taken or opened.response.status == 400


INPUTS: dict[TransportInput, Callable[[Scene], object]] = {
    TransportInput.WEBSOCKET_OPENED: second_websocket,
    TransportInput.PROBE: lambda scene: scene.websocket.send("2probe"),
    TransportInput.UPGRADE: lambda scene: scene.websocket.send("5"),
    TransportInput.OTHER_PACKET: lambda scene: scene.websocket.send("4hello"),
    TransportInput.WEBSOCKET_LOST: lambda scene: scene.websocket.stream.reset(),
}


@pytest.mark.parametrize("step", TransportInput)
@pytest.mark.parametrize("state", TransportState)
def test_bytes_on_the_wire_do_what_the_table_says(state: TransportState, step: TransportInput) -> None:
    scene = Scene(state)
    assert scene.state is state
    action, after = TRANSPORT[state, step]
    INPUTS[step](scene)
    scene.engine.server.settle()

    fatal = action is TransportAction.LOSE_SESSION or (
        # Over an open WebSocket "2probe" is a PING, which only servers may send.
        action is TransportAction.DELIVER and step is TransportInput.PROBE
    )
    assert scene.session.open != fatal
    assert scene.state is after
    delivered = action is TransportAction.DELIVER and step is TransportInput.OTHER_PACKET
    assert scene.engine.messages == (["hello"] if delivered else [])
    if action is TransportAction.DROP_CANDIDATE and step is not TransportInput.WEBSOCKET_LOST:
        assert scene.websocket.close_code == 1000
    assert len(scene.engine.closed) == fatal


@pytest.mark.parametrize("state", TransportState)
def test_a_session_still_carries_messages_both_ways_in_every_state(state: TransportState) -> None:
    scene = Scene(state)
    scene.session.send("from the server")
    if state is TransportState.WEBSOCKET:
        assert scene.websocket.send("4from the client") == ["4from the server"]
    else:
        answer = scene.polling.get()
        assert answer is not None
        assert answer.body == b"4from the server"
        scene.polling.post(b"4from the client")
    assert scene.engine.messages == ["from the client"]


@pytest.mark.parametrize("state", TransportState)
@pytest.mark.parametrize("end", ["application", "failure", "time"])
def test_a_session_ends_from_every_state_and_leaves_nothing(state: TransportState, end: str) -> None:
    scene = Scene(state)
    if end == "application":
        scene.session.close()
        assert scene.session._state is (
            SessionState.CLOSED if state is TransportState.WEBSOCKET else SessionState.CLOSING
        )
    elif end == "failure":
        scene.session.fail("transport error")
        assert scene.session._state is SessionState.CLOSED
    scene.engine.server.settle()
    assert (scene.engine.closed == []) == (end == "time")
    scene.engine.server.advance(200)
    assert len(scene.engine.closed) == 1
    scene.engine.assert_nothing_left()


@pytest.mark.parametrize("state", TransportState)
def test_sending_after_the_end_does_nothing(state: TransportState) -> None:
    scene = Scene(state)
    scene.session.close()
    scene.session.send("late")
    scene.session.close()
    scene.engine.server.advance(0.1)
    answer = None if state is TransportState.WEBSOCKET else scene.polling.get()
    assert "4late" not in scene.websocket.messages
    if state is not TransportState.WEBSOCKET:
        assert answer is not None
        assert answer.body == b"1"
    scene.engine.server.settle()
    assert len(scene.engine.closed) == 1
