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

    __slots__ = ("_joined", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        #: The pairs as they came, names in lower case.
        self.raw = raw
        self._joined: dict[str, str] | None = None

    def _values(self) -> dict[str, str]:
        if self._joined is None:
            joined: dict[str, str] = {}
            for name, value in self.raw:
                key = name.decode("latin-1").lower()
                text = value.decode("latin-1")
                joined[key] = f"{joined[key]}, {text}" if key in joined else text
            self._joined = joined
        return self._joined

    def __getitem__(self, name: str) -> str:
        return self._values()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"Headers({self._values()!r})"


class Request:
    """The head of one HTTP request.

    ``target`` is the request target in origin form (``/socket.io/?EIO=4``), ``path`` its part before ``?``.
    ``peer`` is what the driver passed to ``connection_made``: an address tuple, a Unix socket path, or ``None``.
    """

    __slots__ = ("_headers", "_packed", "_query", "_raw", "method", "path", "peer", "query_string", "secure", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        peer: object = None,
        secure: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query_string = target.partition("?")
        self.peer = peer
        self.secure = secure
        self._raw: list[tuple[bytes, bytes]] | None = headers
        self._packed = b""
        self._headers: Headers | None = None
        self._query: dict[str, list[str]] | None = None

    @property
    def headers(self) -> Headers:
        """The headers."""
        # Made on first use: most polling requests are answered without a look at most headers.
        if self._headers is not None:
            return self._headers
        made = Headers(self.raw_headers())
        if self._raw is not None:
            self._headers = made
        return made

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters, percent-decoded; each name maps to the list of its values."""
        parsed = self._query
        if parsed is None:
            parsed = self._query = {}
            for name, value in parse_qsl(self.query_string, keep_blank_values=True, errors="replace"):
                parsed.setdefault(name, []).append(value)
        return parsed

    @property
    def address(self) -> str | None:
        """The peer's address without its port, if the transport has one."""
        if isinstance(self.peer, tuple) and self.peer:
            return str(self.peer[0])
        return str(self.peer) if self.peer else None

    def parameter(self, name: str) -> str | None:
        """The value of a query parameter that came exactly once; ``None`` if it is missing or repeated."""
        values = self.parameters(name)
        return values[0] if len(values) == 1 else None

    def parameters(self, name: str) -> list[str]:
        """The values of a query parameter, as often as it came."""
        query = self.query_string
        if self._query is not None or "%" in query or "+" in query:
            return self.query.get(name, [])
        # Nothing is encoded in what polling clients send, and few parameters are asked for: the mapping costs more.
        values = []
        size = len(name)
        start = 0
        while start <= len(query):
            stop = query.find("&", start)
            if stop < 0:
                stop = len(query)
            if query.startswith(name, start, stop):
                equals = start + size
                if equals == stop:
                    if size:
                        values.append("")
                elif query[equals] == "=":
                    values.append(query[equals + 1 : stop])
            start = stop + 1
        return values

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The pairs of names, in lower case, and values, as they came."""
        if self._raw is not None:
            return self._raw
        fields = self._packed.split(b"\n")
        return list(zip(fields[0::2], fields[1::2], strict=False))

    def header_values(self, name: bytes) -> list[bytes]:
        """The values of ``name`` (lower case), as bytes, without building the mapping."""
        return [value for key, value in self.raw_headers() if key == name]

    def compact(self) -> None:
        """Give back the memory of what can be made again. For requests that are kept as long as their client.

        One bytes object is kept instead of several for each header: no name or value has a line feed in it (RFC 9110,
        section 5.5).
        """
        if self._raw is not None:
            self._packed = b"\n".join([field for pair in self._raw for field in pair])
            self._raw = None
        self._headers = None
        self._query = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path[:200]!r}>"
