"""An HTTP request as the protocol layers see it, whoever parsed it (our HTTP layer or an ASGI server)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

__all__ = ["Headers", "Request"]


class Headers(Mapping[str, str]):
    """Request headers: a read-only mapping with case-insensitive names.

    Values are latin-1 text, so that any byte a peer sends has a representation. A header that came several times is
    joined with ``", "`` (RFC 9110, section 5.3).
    """

    __slots__ = ("_joined", "_packed", "_raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw: list[tuple[bytes, bytes]] | None = raw
        self._packed = b""
        self._joined: dict[str, str] | None = None

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The pairs as they came, names in lower case."""
        if self._raw is not None:
            return self._raw
        fields = self._packed.split(b"\n")
        return list(zip(fields[0::2], fields[1::2], strict=False))

    def compact(self) -> None:
        """Keep one bytes object instead of several for each header, which come back when somebody looks.

        No name or value has a line feed in it (RFC 9110, section 5.5).
        """
        if self._raw is not None:
            self._packed = b"\n".join([field for pair in self._raw for field in pair])
            self._raw = None
        self._joined = None

    def _values(self) -> dict[str, str]:
        # Made on first use: most polling requests are answered without a look at most headers.
        if self._joined is not None:
            return self._joined
        joined: dict[str, str] = {}
        for name, value in self.raw:
            key = name.decode("latin-1").lower()
            text = value.decode("latin-1")
            joined[key] = f"{joined[key]}, {text}" if key in joined else text
        if self._raw is not None:
            self._joined = joined
        return joined

    def __getitem__(self, name: str) -> str:
        return self._values()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"Headers({self._values()!r})"

    def first_bytes(self, name: bytes) -> bytes | None:
        """The first value of ``name`` (lower case), as bytes, without building the mapping."""
        for key, value in self.raw:
            if key == name:
                return value
        return None

    def count(self, name: bytes) -> int:
        """How many times ``name`` (lower case) came."""
        return sum(1 for key, _ in self.raw if key == name)


class Request:
    """The head of one HTTP request.

    ``target`` is the request target in origin form (``/socket.io/?EIO=4``), ``path`` its part before ``?``.
    ``peer`` is what the driver passed to ``connection_made``: an address tuple, a Unix socket path, or ``None``.
    """

    __slots__ = ("_query", "headers", "method", "path", "peer", "query_string", "secure", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        *,
        peer: object = None,
        secure: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query_string = target.partition("?")
        self.headers = Headers(headers)
        self.peer = peer
        self.secure = secure
        self._query: dict[str, list[str]] | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters, percent-decoded; each name maps to the list of its values."""
        if self._query is None:
            parsed: dict[str, list[str]] = {}
            for name, value in _pairs(self.query_string):
                parsed.setdefault(name, []).append(value)
            self._query = parsed
        return self._query

    def parameter(self, name: str) -> str | None:
        """The value of a query parameter that came exactly once; ``None`` if it is missing or repeated."""
        values = self.query.get(name)
        return values[0] if values is not None and len(values) == 1 else None

    def compact(self) -> None:
        """Give back the memory of what can be made again. For requests that are kept as long as their client."""
        self.headers.compact()
        self._query = None

    @property
    def address(self) -> str | None:
        """The peer's address without its port, if the transport has one."""
        if isinstance(self.peer, tuple) and self.peer:
            return str(self.peer[0])
        return str(self.peer) if self.peer else None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path[:200]!r}>"


def _pairs(query_string: str) -> list[tuple[str, str]]:
    if "%" in query_string or "+" in query_string:
        return parse_qsl(query_string, keep_blank_values=True, errors="replace")
    # Nothing is encoded in what polling clients send for every request, and parse_qsl costs more than all else there.
    pairs = []
    for pair in query_string.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((name, value))
    return pairs
