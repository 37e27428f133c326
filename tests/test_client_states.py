"""The table of a client's socket: total, and true to what the words mean."""

from __future__ import annotations

import itertools

import pytest

from fake_link import Client
from siocore.socketio.client_states import CLIENT_SOCKET, Action, ClientSocketState, Step

S = ClientSocketState


def test_the_table_has_an_entry_for_every_state_and_step() -> None:
    assert set(CLIENT_SOCKET) == set(itertools.product(ClientSocketState, Step))


def test_connect_is_sent_once_for_each_link() -> None:
    """Between two CONNECTs there is an answer, or the link is lost."""
    for (state, step), (action, following) in CLIENT_SOCKET.items():
        if action is Action.SEND_CONNECT:
            assert (state, step, following) == (S.AUTHENTICATING, Step.AUTHENTICATED, S.CONNECTING)
        if following is S.AUTHENTICATING and state is not S.AUTHENTICATING:
            assert (state, step) == (S.WAITING, Step.LINK_OPENED)
        if state in (S.CONNECTING, S.LEAVING) and following in (S.IDLE, S.WAITING):
            assert step in (Step.ACCEPTED, Step.REFUSED, Step.LINK_CLOSED)


def test_the_application_is_told_of_every_connection_and_of_its_end() -> None:
    for (state, step), (action, following) in CLIENT_SOCKET.items():
        assert (action is Action.ENTER) == (following is S.CONNECTED and state is not S.CONNECTED), (state, step)
        assert (action in (Action.END, Action.LEAVE)) == (state is S.CONNECTED and following is not S.CONNECTED)


def into(state: ClientSocketState) -> Client:
    """A client whose socket is in a state, by what leads there."""
    client = Client(auto_connect=False, auth=dict)
    socket = client.manager.socket("/a")
    other = client.manager.socket("/other")
    other.connect()
    if state is S.IDLE:
        client.link.opened()
    else:
        socket.connect()
    if state not in (S.IDLE, S.WAITING):
        client.link.opened()
    if state in (S.CONNECTING, S.LEAVING, S.CONNECTED):
        socket.authenticate(1, {})
    if state is S.LEAVING:
        socket.disconnect()
    if state is S.CONNECTED:
        client.accept("/a")
    assert socket.state is state
    client.events()
    if client.link.open:
        client.link.take()
    return client


#: Without a link nobody can say these, and a link opens once.
IMPOSSIBLE = {
    *itertools.product([S.WAITING], set(Step) - {Step.WANTED, Step.LINK_OPENED, Step.UNWANTED, Step.LINK_CLOSED}),
    *itertools.product(set(S) - {S.WAITING}, [Step.LINK_OPENED]),
}


@pytest.mark.parametrize(("state", "step"), [case for case in CLIENT_SOCKET if case not in IMPOSSIBLE])
def test_every_step_in_every_state_does_what_the_table_says(state: ClientSocketState, step: Step) -> None:
    client = into(state)
    socket = client.manager.sockets["/a"]
    action, following = CLIENT_SOCKET[state, step]
    match step:
        case Step.WANTED:
            socket.connect()
            if state is S.IDLE:
                # The link is there already.
                following = S.AUTHENTICATING
        case Step.LINK_OPENED:
            client.link.opened()
        case Step.AUTHENTICATED:
            socket.authenticate(1, {"a": 1})
        case Step.AUTH_FAILED:
            socket.authentication_failed(1, ValueError("no"))
        case Step.ACCEPTED:
            client.accept("/a")
        case Step.REFUSED:
            client.link.text('4/a,{"message":"no"}')
        case Step.DROPPED:
            client.link.text("1/a,")
        case Step.UNWANTED:
            socket.disconnect()
        case Step.LINK_CLOSED:
            client.link.lost()
    assert socket.state is following
    sent = client.link.take()
    told = client.told()
    if action is Action.SEND_CONNECT:
        assert sent == ['0/a,{"a":1}']
    elif action in (Action.LEAVE, Action.SEND_DISCONNECT):
        assert sent == ["1/a,"]
    else:
        assert sent == []
    expected: object = []
    if action is Action.ENTER:
        expected = ["connect"]
    elif action is Action.FAIL:
        expected = [("connect_error", "no" if step is Step.REFUSED else "auth failed: ValueError: no")]
    elif action is Action.LEAVE:
        expected = [("disconnect", "io client disconnect")]
    elif action is Action.END:
        expected = [("disconnect", "io server disconnect" if step is Step.DROPPED else "transport close")]
    elif state is S.WAITING and step is Step.LINK_CLOSED:
        # It never opened: two sockets want it.
        expected = [("connect_error", "transport close: cut")]
    assert told == expected or told == [expected[0]] * 2  # type: ignore[index]


def test_a_socket_that_is_wanted_again_before_the_answer_sends_no_second_connect() -> None:
    client = into(S.LEAVING)
    socket = client.manager.sockets["/a"]
    socket.connect()
    client.accept("/a")
    assert socket.connected
    assert client.link.take() == []
