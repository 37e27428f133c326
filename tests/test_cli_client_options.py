"""The options of the commands that connect."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from siocore.cli.client_arguments import (
    Connection,
    UsageError,
    add_client_arguments,
    connection_from,
    explain,
    style_for,
)
from siocore.client_options import ClientOptions
from siocore.errors import ConnectError

URL = "http://127.0.0.1:3000"


def connection(*arguments: str) -> Connection:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_client_arguments(parser)
    return connection_from(parser.parse_args(list(arguments)))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--path", "/x/"], {"path": "/x/"}),
        (["--auth", '{"token": "x"}'], {"auth": {"token": "x"}}),
        (["--transports", "websocket"], {"transports": ("websocket",)}),
        (["--transports", "websocket, polling"], {"transports": ("websocket", "polling")}),
        (["--header", "X-A: b: c", "--header", "x-d:"], {"headers": [("X-A", "b: c"), ("x-d", "")]}),
        (["--query", "a=b=c", "--query", "d="], {"query": [("a", "b=c"), ("d", "")]}),
        (["--protocol", "3"], {"protocol": 3}),
        (["--protocol", "auto"], {"protocol": "auto"}),
        (["--parser", "msgpack"], {"parser": "msgpack"}),
        (["--proxy", "http://proxy:3128"], {"proxy": "http://proxy:3128"}),
        (["--proxy", "env"], {"trust_env": True}),
        (["--unix", "/run/s"], {"unix_path": "/run/s"}),
        (["--connect-timeout", "0.5"], {"timeout": 0.5}),
        (["--insecure"], {}),
    ],
)
def test_each_option_is_one_of_the_client(arguments: list[str], options: dict[str, Any]) -> None:
    plain = dict(connection(URL).options)
    assert dict(connection(URL, *arguments).options) == plain | options
    ClientOptions(**connection(URL, *arguments).options)


def test_auth_can_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text('{"token": "x"}\n')
    assert connection(URL, "--auth", f"@{path}").options["auth"] == {"token": "x"}


@pytest.mark.parametrize(
    ("arguments", "url", "namespace"),
    [
        ([URL], URL, "/"),
        ([f"{URL}/admin?a=b"], f"{URL}/admin?a=b", "/admin"),
        ([URL, "--namespace", "/admin"], f"{URL}/admin", "/admin"),
        ([f"{URL}/?a=b", "--namespace", "admin"], f"{URL}/admin?a=b", "/admin"),
    ],
)
def test_the_namespace_is_the_path(arguments: list[str], url: str, namespace: str) -> None:
    made = connection(*arguments)
    assert (made.url, made.namespace) == (url, namespace)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["localhost:3000"], "a URL starts with http://, https://"),
        ([f"{URL}/a", "--namespace", "/b"], "the namespace is given twice: /a in the URL and --namespace /b"),
        (["https://x", "--insecure", "--ca", "x.pem"], "leave one of them out"),
        (["https://x", "--ca", "/no/such.pem"], "can't use /no/such.pem as certificates: No such file or directory"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_sentence(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        connection(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--auth", "token"],
        ["--auth", "[1]"],
        ["--auth", "@/no/such/file"],
        ["--transports", "carrier"],
        ["--transports", ""],
        ["--transports", "polling,polling"],
        ["--header", "X-A"],
        ["--header", "X A: b"],
        ["--header", "X-A: b\r\nc"],
        ["--query", "a"],
        ["--query", "=a"],
        ["--protocol", "5"],
        ["--parser", "xml"],
        ["--connect-timeout", "0"],
        ["--connect-timeout", "inf"],
    ],
)
def test_what_an_option_does_not_take_is_refused(arguments: list[str]) -> None:
    with pytest.raises(argparse.ArgumentError, match=f"argument {arguments[0]}"):
        connection(URL, *arguments)


def test_authorities_are_added_and_checks_left_out_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    trusting = connection("https://x", "--ca", str(path)).options["ssl_context"]
    assert trusting.verify_mode == ssl.CERT_REQUIRED
    assert trusting.check_hostname
    assert len(trusting.get_ca_certs()) == 1
    blind = connection("https://x", "--insecure").options["ssl_context"]
    assert blind.verify_mode == ssl.CERT_NONE
    assert "ssl_context" not in connection("https://x").options


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ConnectError("not authorized", {"retry": False}),
            'the server refused namespace /admin: not authorized (data: {"retry": false})',
        ),
        (
            ConnectError("Invalid namespace"),
            "the server refused namespace /admin: Invalid namespace; the namespace is the path of the URL",
        ),
        (ConnectError("\x1b[31m"), "the server refused namespace /admin: \\u001b[31m"),
        (ConnectError("no answer", transport=True), "no answer"),
        (
            ConnectError("it answered 404", transport=True, status=404),
            "it answered 404; here that is --path",
        ),
        (
            ConnectError("Unsupported protocol version", transport=True, status=400),
            "Unsupported protocol version; try --protocol auto",
        ),
        (
            ConnectError("the certificate expired", transport=True),
            "the certificate expired; --ca FILE trusts its authority, --insecure trusts anybody",
        ),
    ],
)
def test_a_failure_says_what_to_change(error: ConnectError, sentence: str) -> None:
    assert explain(error, "/admin") == sentence


@pytest.mark.parametrize(
    ("terminal", "environment", "no_color", "coloured"),
    [
        (True, {}, False, True),
        (False, {}, False, False),
        (True, {"NO_COLOR": "1"}, False, False),
        (True, {"NO_COLOR": ""}, False, True),
        (True, {"TERM": "dumb"}, False, False),
        (True, {}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    terminal: bool, environment: dict[str, str], no_color: bool, coloured: bool
) -> None:
    assert style_for(argparse.Namespace(no_color=no_color), environment, terminal).colours is coloured
