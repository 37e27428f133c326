"""The state tables of a session: every state with every input."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any

import pytest

from siocore.engineio.states import (
    HEARTBEAT,
    SESSION,
    TRANSPORT,
    HeartbeatAction,
    HeartbeatInput,
    HeartbeatState,
    SessionAction,
    SessionInput,
    SessionState,
    TransportAction,
    TransportInput,
    TransportState,
)

Table = Mapping[tuple[Any, Any], tuple[Any, Any]]

TABLES = [
    pytest.param(SESSION, SessionState, SessionInput, SessionAction, id="session"),
    pytest.param(TRANSPORT, TransportState, TransportInput, TransportAction, id="transport"),
    pytest.param(HEARTBEAT, HeartbeatState, HeartbeatInput, HeartbeatAction, id="heartbeat"),
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


@pytest.mark.parametrize(("table", "states", "inputs", "actions"), TABLES)
def test_every_entry_is_an_action_and_a_state_of_its_own_machine(
    table: Table, states: type[Enum], inputs: type[Enum], actions: type[Enum]
) -> None:
    for action, after in table.values():
        assert isinstance(action, actions)
        assert isinstance(after, states)


@pytest.mark.parametrize(("table", "states", "inputs", "actions"), TABLES)
def test_every_action_is_used(table: Table, states: type[Enum], inputs: type[Enum], actions: type[Enum]) -> None:
    assert {action for action, _ in table.values()} == set(actions)


@pytest.mark.parametrize("state", SessionState)
def test_closed_can_be_reached_from_every_session_state(state: SessionState) -> None:
    assert SessionState.CLOSED in reachable(SESSION, state)


@pytest.mark.parametrize("state", SessionState)
def test_a_failure_closes_the_session_from_every_state(state: SessionState) -> None:
    _, after = SESSION[state, SessionInput.FAIL]
    assert after is SessionState.CLOSED


@pytest.mark.parametrize("step", SessionInput)
def test_closed_is_final_and_does_nothing(step: SessionInput) -> None:
    assert SESSION[SessionState.CLOSED, step] == (SessionAction.NOTHING, SessionState.CLOSED)


@pytest.mark.parametrize("state", SessionState)
def test_a_closed_session_is_never_opened_again(state: SessionState) -> None:
    if state is not SessionState.OPEN:
        assert SessionState.OPEN not in reachable(SESSION, state)


def test_the_application_is_told_of_the_end_exactly_once() -> None:
    told = {SessionAction.LINGER, SessionAction.END}
    for (before, _), (action, after) in SESSION.items():
        assert (action in told) == (before is SessionState.OPEN and after is not SessionState.OPEN)


def test_only_upgrade_after_the_probe_moves_a_session_to_websocket() -> None:
    moves = {entry for entry, (_, after) in TRANSPORT.items() if after is TransportState.WEBSOCKET}
    moves -= {(TransportState.WEBSOCKET, step) for step in TransportInput}
    assert moves == {(TransportState.PROBED, TransportInput.UPGRADE)}


@pytest.mark.parametrize("step", TransportInput)
def test_a_session_on_websocket_never_goes_back_to_polling(step: TransportInput) -> None:
    _, after = TRANSPORT[TransportState.WEBSOCKET, step]
    assert after is TransportState.WEBSOCKET


@pytest.mark.parametrize("state", [TransportState.CANDIDATE, TransportState.PROBED])
@pytest.mark.parametrize("step", [TransportInput.WEBSOCKET_LOST, TransportInput.OTHER_PACKET])
def test_a_candidate_that_fails_leaves_the_session_on_polling(state: TransportState, step: TransportInput) -> None:
    assert TRANSPORT[state, step] == (TransportAction.DROP_CANDIDATE, TransportState.POLLING)


def test_nothing_is_taken_from_a_websocket_that_does_not_carry_the_session() -> None:
    for (before, _), (action, _) in TRANSPORT.items():
        if before is not TransportState.WEBSOCKET:
            assert action not in (TransportAction.DELIVER, TransportAction.LOSE_SESSION)


def test_at_most_one_ping_is_outstanding() -> None:
    for (before, _), (action, after) in HEARTBEAT.items():
        if action is HeartbeatAction.SEND_PING:
            assert before is HeartbeatState.IDLE
            assert after is HeartbeatState.WAITING


def test_a_pong_that_nobody_asked_for_does_not_move_the_schedule() -> None:
    assert HEARTBEAT[HeartbeatState.IDLE, HeartbeatInput.PONG] == (HeartbeatAction.NOTHING, HeartbeatState.IDLE)


def test_the_deadline_of_a_pong_is_extended_once() -> None:
    extended = [entry for entry, (action, _) in HEARTBEAT.items() if action is HeartbeatAction.EXTEND]
    assert extended == [(HeartbeatState.WAITING, HeartbeatInput.OTHER_PACKET)]
    assert HeartbeatState.WAITING not in reachable(
        {entry: after for entry, after in HEARTBEAT.items() if entry[1] is not HeartbeatInput.PONG},
        HeartbeatState.EXTENDED,
    )
