"""Cookies of clients: whom they are sent to and until when (RFC 6265), and how many are kept."""

from __future__ import annotations

import http.cookiejar
from collections.abc import Mapping, Sequence
from time import localtime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siocore.application import cookies as module
from siocore.application.cookies import JarStore, make_cookie_store

HOME = "https://a.example.com/socket.io/?EIO=4"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class Time:
        time = staticmethod(clock.time)
        localtime = staticmethod(localtime)

    monkeypatch.setattr(http.cookiejar, "time", Time)
    return clock


def sent(url: str, *set_cookie: str, by: str = HOME) -> str | None:
    store = JarStore()
    store.store(by, set_cookie)
    return store.header(url)


@pytest.mark.parametrize(
    ("line", "url", "expected"),
    [
        # section 5.3, step 6: host-only without Domain.
        ("s=1", "https://a.example.com/", None),
        ("s=1; Path=/", "https://a.example.com/", "s=1"),
        ("s=1; Path=/", "https://A.EXAMPLE.com:8443/x", "s=1"),
        ("s=1; Path=/", "https://b.a.example.com/", None),
        ("s=1; Path=/", "https://example.com/", None),
        # section 5.1.3: domain match.
        ("s=1; Path=/; Domain=example.com", "https://example.com/", "s=1"),
        ("s=1; Path=/; Domain=.example.com", "https://b.c.example.com/", "s=1"),
        ("s=1; Path=/; Domain=EXAMPLE.com", "https://b.example.com/", "s=1"),
        ("s=1; Path=/; Domain=example.com", "https://badexample.com/", None),
        ("s=1; Path=/; Domain=b.example.com", "https://b.example.com/", None),
        ("s=1; Path=/; Domain=other.org", "https://other.org/", None),
        ("s=1; Path=/; Domain=com", "https://b.com/", None),
        ("s=1; Path=/; Domain=b.a.example.com", "https://b.a.example.com/", None),
        # section 5.1.4: path match, and the default path.
        ("s=1", "https://a.example.com/socket.io/?x", "s=1"),
        ("s=1", "https://a.example.com/socket.io", "s=1"),
        ("s=1; Path=/socket.io", "https://a.example.com/socket.io/x", "s=1"),
        ("s=1; Path=/socket.io", "https://a.example.com/socket.iox", None),
        ("s=1; Path=/elsewhere", "https://a.example.com/socket.io/", None),
        ("s=1; Path=/elsewhere", "https://a.example.com/elsewhere/x", "s=1"),
        # section 5.4: Secure.
        ("s=1; Path=/; Secure", "https://a.example.com/", "s=1"),
        ("s=1; Path=/; Secure", "wss://a.example.com/", "s=1"),
        ("s=1; Path=/; Secure", "http://a.example.com/", None),
        ("s=1; Path=/; Secure", "ws://a.example.com/", None),
        ("s=1; Path=/", "ws://a.example.com/", "s=1"),
        ("s=1; Path=/; HttpOnly; SameSite=Strict; Unknown=x", "https://a.example.com/", "s=1"),
        # values
        ('s="quoted, value"; Path=/', "https://a.example.com/", 's="quoted, value"'),
        ("s=a=b==; Path=/", "https://a.example.com/", "s=a=b=="),
        ("s=; Path=/", "https://a.example.com/", "s="),
        ("s; Path=/", "https://a.example.com/", None),
        ("=1; Path=/", "https://a.example.com/", None),
        ("", "https://a.example.com/", None),
        (";;;", "https://a.example.com/", None),
        ("s=a\rb; Path=/", "https://a.example.com/", None),
        ("s=a\nX: b; Path=/", "https://a.example.com/", None),
        ("s=a\x00b; Path=/", "https://a.example.com/", None),
        # RFC 6265 bis, section 4.1.3
        ("__Secure-s=1; Path=/", "https://a.example.com/", None),
        ("__Secure-s=1; Path=/; Secure", "https://a.example.com/", "__Secure-s=1"),
        ("__Host-s=1; Path=/; Secure", "https://a.example.com/", "__Host-s=1"),
        ("__Host-s=1; Path=/; Secure; Domain=a.example.com", "https://a.example.com/", None),
        ("__Host-s=1; Path=/socket.io; Secure", "https://a.example.com/socket.io/", None),
        # section 6.1
        ("s=" + "x" * 4_095 + "; Path=/", "https://a.example.com/", "s=" + "x" * 4_095),
        ("s=" + "x" * 4_096 + "; Path=/", "https://a.example.com/", None),
    ],
)
def test_whom_a_cookie_is_sent_to(line: str, url: str, expected: str | None) -> None:
    assert sent(url, line) == expected


@pytest.mark.parametrize(
    ("by", "line", "url", "expected"),
    [
        ("http://localhost:3000/socket.io/", "io=1; Path=/", "ws://localhost:3000/socket.io/", "io=1"),
        ("http://127.0.0.1:3000/socket.io/", "io=1; Path=/", "http://127.0.0.1:3000/", "io=1"),
        ("http://127.0.0.1:3000/socket.io/", "io=1; Path=/", "http://127.0.0.2:3000/", None),
        ("http://127.0.0.1/", "io=1; Path=/; Domain=.0.0.1", "http://127.0.0.1/", None),
        ("http://[::1]:3000/socket.io/", "io=1; Path=/", "http://[::1]:3000/", "io=1"),
        ("http://a.example.com/", "io=1; Path=/; Secure", "https://a.example.com/", None),
        ("ws://a.example.com/", "io=1", "http://a.example.com/x", "io=1"),
        ("wss://a.example.com/", "io=1; Secure", "https://a.example.com/x", "io=1"),
    ],
)
def test_who_may_set_a_cookie(by: str, line: str, url: str, expected: str | None) -> None:
    assert sent(url, line, by=by) == expected


@pytest.mark.parametrize(
    ("attributes", "lives"),
    [
        ("Max-Age=60", 60),
        ("max-age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("Expires=Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Expires=Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("Max-Age=nonsense; Expires=Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Max-Age=0", 0),
        ("Max-Age=-1", 0),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Expires=nonsense", None),
        ("Max-Age=" + "9" * 5_000, None),
        ("Max-Age=", None),
        ("", None),
    ],
)
def test_how_long_a_cookie_lives(clock: Clock, attributes: str, lives: int | None) -> None:
    store = JarStore()
    store.store(HOME, [f"s=1; {attributes}"])
    if lives != 0:
        clock.now += 1_000_000 if lives is None else lives - 1
        assert store.header(HOME) == "s=1"
    if lives is not None:
        clock.now += 2
        assert store.header(HOME) is None
        assert len(list(store.jar)) == 0


def test_a_cookie_is_replaced_and_removed() -> None:
    store = JarStore()
    store.store(HOME, ["s=1; Path=/", "t=1; Path=/"])
    store.store(HOME, ["s=2; Path=/"])
    assert store.header(HOME) == "s=2; t=1"
    store.store(HOME, ["s=; Path=/; Max-Age=0"])
    assert store.header(HOME) == "t=1"


def test_longer_paths_come_first() -> None:
    assert sent(HOME, "a=1; Path=/", "b=2; Path=/socket.io") == "b=2; a=1"


def test_the_oldest_cookies_of_a_domain_give_way() -> None:
    store = JarStore()
    for number in range(60):
        store.store(HOME, [f"c{number}=x; Path=/"])
    header = store.header(HOME)
    assert header is not None
    assert header.split("; ") == [f"c{number}=x" for number in range(10, 60)]


def test_all_cookies_together_are_bounded() -> None:
    store = JarStore()
    for number in range(400):
        store.store(f"https://h{number}.example.com/", [f"c{number}{i}=x; Path=/" for i in range(3)])
    assert len(list(store.jar)) == module.MAX_COOKIES
    assert store.header("https://h0.example.com/") is None
    assert store.header("https://h399.example.com/") == "c3990=x; c3991=x; c3992=x"


def test_a_jar_of_the_application_is_used_with_its_own_policy() -> None:
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(blocked_domains=["a.example.com"]))
    store = make_cookie_store(jar)
    assert store is not None
    store.store(HOME, ["s=1"])
    assert len(jar) == 0
    store.store("https://b.example.com/", [f"c{number}=1" for number in range(60)])
    assert len(jar) == 60


def test_cookies_that_are_given_go_beside_those_that_are_set() -> None:
    store = make_cookie_store({"token": "abc", "s": "mine"})
    assert store is not None
    assert store.header("ws://anywhere.org/") == "token=abc; s=mine"
    store.store(HOME, ["s=theirs"])
    assert store.header(HOME) == "s=theirs; token=abc"
    assert store.header("ws://anywhere.org/") == "token=abc; s=mine"


def test_what_the_option_takes() -> None:
    class Own:
        def header(self, url: str) -> str | None:
            return None

        def store(self, url: str, set_cookie: Sequence[str]) -> None: ...

    own = Own()
    assert make_cookie_store(own) is own
    assert make_cookie_store(False) is None
    assert make_cookie_store(None) is None
    assert isinstance(make_cookie_store(True), JarStore)
    for wrong in ("s=1", 1, ["s=1"], object()):
        with pytest.raises(ValueError, match="cookies must be"):
            make_cookie_store(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"a b": "1"}, {"a=b": "1"}, {"": "1"}, {"a": "1; b=2"}, {"a": "1\r\nX: y"}, {"a": "€"}, {"a": 1}, {1: "a"}],
)
def test_cookies_that_can_not_be_sent_are_refused(wrong: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="cookie"):
        make_cookie_store(wrong)


attribute = st.sampled_from(
    [
        "Path=/",
        "Domain=example.com",
        "Max-Age=5",
        "Expires=Tue, 14 Nov 2023 22:14:20 GMT",
        "Secure",
        "Version=1",
        "Port",
    ]
)


@given(
    lines=st.lists(
        st.one_of(
            st.text(max_size=40),
            st.lists(st.one_of(attribute, st.text(max_size=10)), max_size=5).map(
                lambda parts: "s=1;" + ";".join(parts)
            ),
        ),
        max_size=4,
    )
)
def test_nothing_that_a_server_sends_raises(lines: list[str]) -> None:
    store = JarStore()
    store.store(HOME, [line.encode("latin-1", "replace").decode("latin-1") for line in lines])
    header = store.header(HOME)
    assert header is None or "\n" not in header
