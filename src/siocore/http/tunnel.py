"""A tunnel through an HTTP proxy: the CONNECT method (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import base64

from siocore.errors import LocalProtocolError
from siocore.http.client import HttpClient
from siocore.options import Limits

__all__ = ["Tunnel"]


class Tunnel:
    """Asks a proxy for a connection to ``host`` and ``port``. ``user`` and ``password`` are for the proxy (RFC 7617).

    Send what ``data_to_send`` returns, pass what comes to ``receive_data`` and ``receive_eof``, until ``established``
    or ``failed``. Raises :exc:`LocalProtocolError` for a host or user name that can't be sent.
    """

    __slots__ = ("_client", "established", "failed")

    def __init__(
        self, host: str, port: int, user: str | None = None, password: str | None = None, *, limits: Limits
    ) -> None:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            headers = [(b"Host", authority.encode("ascii"))]
        except UnicodeEncodeError:
            raise LocalProtocolError(f"a proxy needs an ASCII name of the host, not {host!r}") from None
        if user is not None:
            if ":" in user:
                raise LocalProtocolError("the user name of a proxy can't have a colon (RFC 7617)")
            credentials = base64.b64encode(f"{user}:{password or ''}".encode())
            headers.append((b"Proxy-Authorization", b"Basic " + credentials))
        #: The proxy has connected: what comes now comes from the host.
        self.established = False
        #: A sentence that says why it has not.
        self.failed: str | None = None
        self._client = HttpClient(limits)
        self._client.request("CONNECT", authority, headers)

    def data_to_send(self) -> bytes:
        """What is to be sent to the proxy; ``b""`` if nothing is."""
        data = b"".join(self._client.output)
        self._client.output.clear()
        return data

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the proxy. Not to be called once ``established``."""
        self._client.receive_data(data)
        self._look()

    def receive_eof(self) -> None:
        """The proxy sends nothing more."""
        self._client.receive_eof()
        self._look()

    @property
    def trailing(self) -> bytes:
        """What has come from the host already."""
        return self._client.trailing_data() if self.established else b""

    def _look(self) -> None:
        if self.established or self.failed is not None:
            return
        answer = self._client.next_answer()
        if answer is None:
            if self._client.failed is not None:
                self.failed = f"the proxy failed: {self._client.failed.replace('the server', 'it')}"
        elif self._client.switched:
            self.established = True
        elif answer.status == 407:
            self.failed = (
                "the proxy asks for a user name and password: write them into its URL, http://user:password@proxy:port"
            )
        else:
            self.failed = f"the proxy refused the connection with {answer.describe()}"
