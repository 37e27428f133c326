"""The state tables of a client's session: every state with every input."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any

import pytest

from siocore.engineio.client_states import (
    CLIENT_HEARTBEAT,
    CLIENT_SESSION,
    CLIENT_TRANSPORT,
    ClientHeartbeatAction,
    ClientHeartbeatInput,
    ClientHeartbeatState,
    ClientSessionAction,
    ClientSessionInput,
    ClientSessionState,
    ClientTransportAction,
    ClientTransportInput,
    ClientTransportState,
)

Table = Mapping[tuple[Any, Any], tuple[Any, Any]]

TABLES = [
    pytest.param(CLIENT_SESSION, ClientSessionState, ClientSessionInput, ClientSessionAction, id="session"),
    pytest.param(CLIENT_TRANSPORT, ClientTransportState, ClientTransportInput, ClientTransportAction, id="transport"),
    pytest.param(CLIENT_HEARTBEAT, ClientHeartbeatState, ClientHeartbeatInput, ClientHeartbeatAction, id="heartbeat"),
]


def reachable(table: Table, start: Enum) -> set[Enum]:
    """The states that can be reached from ``start``, itself included."""
    found = {start}
    while True:
        more = {after for (before, _), (_, after) in table.items() if before in found} - found
        if not more:
            return found
        found |= more


@pytest.mark.parametrize(("table", "states", "inputs", "actions"), TABLES)
def test_every_state_has_an_entry_for_every_input(
    table: Table, states: type[Enum], inputs: type[Enum], actions: type[Enum]
) -> None:
    assert set(table) == set(product(states, inputs))
    for action, after in table.values():
        assert isinstance(action, actions)
        assert isinstance(after, states)
    assert {action for action, _ in table.values()} == set(actions)


@pytest.mark.parametrize("state", ClientSessionState)
def test_a_failure_closes_the_session_from_every_state(state: ClientSessionState) -> None:
    _, after = CLIENT_SESSION[state, ClientSessionInput.FAIL]
    assert after is ClientSessionState.CLOSED


@pytest.mark.parametrize("step", ClientSessionInput)
def test_closed_is_final_and_does_nothing(step: ClientSessionInput) -> None:
    entry = CLIENT_SESSION[ClientSessionState.CLOSED, step]
    assert entry == (ClientSessionAction.NOTHING, ClientSessionState.CLOSED)


def test_the_end_is_told_exactly_once_and_a_session_opens_once() -> None:
    for (before, _), (action, after) in CLIENT_SESSION.items():
        ends = before is not ClientSessionState.CLOSED and after is ClientSessionState.CLOSED
        assert (action is ClientSessionAction.END) == ends
        opens = before is ClientSessionState.OPENING and after is ClientSessionState.OPEN
        assert (action is ClientSessionAction.TELL_OPEN) == opens
        if before is not ClientSessionState.OPENING:
            assert after is not ClientSessionState.OPENING


def test_only_a_paused_polling_gives_way_to_the_websocket() -> None:
    websocket = ClientTransportState.WEBSOCKET
    moves = {
        entry for entry, (_, after) in CLIENT_TRANSPORT.items() if after is websocket and entry[0] is not websocket
    }
    assert moves == {(ClientTransportState.SWITCHING, ClientTransportInput.POLLING_RESTS)}
    assert reachable(CLIENT_TRANSPORT, websocket) == {websocket}


@pytest.mark.parametrize("state", [ClientTransportState.PROBING, ClientTransportState.SWITCHING])
@pytest.mark.parametrize("step", [ClientTransportInput.WEBSOCKET_LOST, ClientTransportInput.OTHER_PACKET])
def test_a_candidate_that_fails_leaves_the_session_on_polling(
    state: ClientTransportState, step: ClientTransportInput
) -> None:
    action, after = CLIENT_TRANSPORT[state, step]
    assert after is ClientTransportState.POLLING
    # Where polling was paused, it goes on.
    assert (action is ClientTransportAction.POLL_ON) == (state is ClientTransportState.SWITCHING)


def test_nothing_is_taken_from_a_websocket_that_does_not_carry_the_session() -> None:
    for (before, _), (action, _) in CLIENT_TRANSPORT.items():
        if before is not ClientTransportState.WEBSOCKET:
            assert action not in (ClientTransportAction.DELIVER, ClientTransportAction.LOSE_SESSION)


def test_at_most_one_ping_of_ours_is_outstanding() -> None:
    for (before, _), (action, after) in CLIENT_HEARTBEAT.items():
        if action is ClientHeartbeatAction.SEND_PING:
            assert before is ClientHeartbeatState.RESTING
            assert after is ClientHeartbeatState.WAITING
