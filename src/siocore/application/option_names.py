"""Checking the names of options before their values: a wrong one is named together with the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

__all__ = ["check_names"]

#: What other clients call them, where that is something quite different.
_ELSEWHERE = {
    "extra_headers": "headers",
    "with_credentials": "cookies",
    "reject_unauthorized": "ssl_context",
    "ssl_verify": "ssl_context",
    "ca": "ssl_context",
    "agent": "proxy",
    "socketio_path": "path",
    "wait_timeout": "timeout",
    "connect_timeout": "timeout",
    "namespaces": "url",
    "namespace": "url",
    "eio": "protocol",
}


def check_names(options: Iterable[str], kind: type, others: Mapping[str, str] | None = None) -> None:
    """Raise TypeError if one of ``options`` is no field of the dataclass ``kind``, and say which one is near.

    ``others`` are names that belong elsewhere, with what is to be said of them.
    """
    known = [field.name for field in fields(kind)]
    for name in options:
        if name not in known:
            raise TypeError(f"there is no option {name!r}: {_advice(name, known, others or {})}")


def _advice(name: str, known: list[str], others: Mapping[str, str]) -> str:
    if name in others:
        return others[name]
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    meant = _ELSEWHERE.get(snake)
    if meant == "url":
        return "the namespace is the path of the URL"
    if meant in known:
        return f"here it is {meant!r}"
    close = [snake] if snake in known else get_close_matches(snake, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(sorted(known))}"
