"""A wrong name of an option is answered with the right one."""

from __future__ import annotations

import pytest

from siocore.application.option_names import check_names
from siocore.client_options import ClientOptions, EngineClientOptions


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reconection", "did you mean 'reconnection'?"),
        ("autoConnect", "did you mean 'auto_connect'?"),
        ("extraHeaders", "here it is 'headers'"),
        ("with_credentials", "here it is 'cookies'"),
        ("socketio_path", "here it is 'path'"),
        ("namespaces", "the namespace is the path of the URL"),
        ("zzz", "the options are ack_timeout, add_trailing_slash, auth,"),
    ],
)
def test_the_nearest_option_is_named(name: str, sentence: str) -> None:
    with pytest.raises(TypeError, match=f"there is no option '{name}'") as raised:
        check_names({"path": "/", name: 1}, ClientOptions)
    assert sentence in str(raised.value)


def test_options_of_socket_io_are_none_of_engine_io() -> None:
    check_names(["auth", "transports"], ClientOptions)
    check_names(["transports"], EngineClientOptions)
    with pytest.raises(TypeError, match="'auth'"):
        check_names(["auth"], EngineClientOptions)


def test_names_that_belong_elsewhere_have_a_sentence_of_their_own() -> None:
    with pytest.raises(TypeError, match="pass it to connect"):
        check_names(["grace"], ClientOptions, {"grace": "pass it to connect()"})
