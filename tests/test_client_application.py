"""The client that applications make: options of sockets, defaults, and which sockets share what."""

from __future__ import annotations

from http.cookiejar import CookieJar

import pytest

from siocore.application.client import Client

URL = "http://127.0.0.1:3000"


def test_options_of_a_socket_go_before_the_client_s_defaults() -> None:
    client = Client(auto_connect=False, reconnection_delay=7.0, timeout=3.0)

    socket = client.socket(URL, timeout=4.0)

    assert not socket.active
    assert (socket.manager.options.reconnection_delay, socket.manager.options.timeout) == (7.0, 4.0)


def test_sockets_of_one_server_share_a_connection_and_its_cookies() -> None:
    client = Client(auto_connect=False, cookies=True)

    one, two, other = client.socket(URL), client.socket(f"{URL}/chat"), client.socket("http://127.0.0.1:3001")

    assert one.manager is two.manager is not other.manager
    assert client.managers == (one.manager, other.manager)
    assert one.manager.options.cookies is other.manager.options.cookies


def test_a_jar_of_one_s_own_is_one_store_however_often_it_is_given() -> None:
    client = Client(auto_connect=False)
    jar = CookieJar()

    one, two = client.socket(URL, cookies=jar), client.socket(f"{URL}/chat", cookies=jar)
    three = client.socket(f"{URL}/more", cookies=one.manager.options.cookies)
    without = client.socket(f"{URL}/none")

    assert one.manager is two.manager is three.manager is not without.manager
    assert not without.manager.options.cookies


def test_options_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="did you mean 'auto_connect'"):
        Client(autoconnect=False)
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        Client().socket(URL, timout=1)
    with pytest.raises(ValueError, match="http://"):
        Client().socket("127.0.0.1:3000")
