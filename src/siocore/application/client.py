"""The Socket.IO client that applications use: what keeps sockets of any number of servers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from siocore.application.calls import Calls
from siocore.application.client_dispatcher import ClientDispatcher
from siocore.application.cookie_option import make_cookie_store
from siocore.application.option_names import check_names
from siocore.client_options import ClientOptions
from siocore.endpoint.client import ClientProtocol
from siocore.socketio.client_socket import ClientSocket
from siocore.socketio.manager import Manager

__all__ = ["Client"]


class Client(Calls):
    """Sockets of any number of servers. Made by ``open_client`` of siocore.trio, siocore.asyncio or siocore.sync.

    ``defaults`` are options of :class:`siocore.ClientOptions` for every socket. Raises TypeError for one that there is
    not.
    """

    def __init__(self, **defaults: Any) -> None:
        super().__init__()
        check_names(defaults, ClientOptions)
        self._defaults = defaults
        # The same store for the same option: sockets with equal options share a connection.
        self._cookie_stores: list[tuple[object, object]] = []
        self.protocol = ClientProtocol()
        self._dispatcher = ClientDispatcher(self)

    @property
    def managers(self) -> Sequence[Manager]:
        """The connections: one for each server, and more if they were asked for."""
        return tuple(self.protocol.managers)

    def socket(self, url: str, **options: Any) -> ClientSocket:
        """A socket for the namespace that the path of ``url`` names.

        It begins to connect, unless ``auto_connect`` is False. Options are those of :class:`siocore.ClientOptions`, and
        go before the client's defaults. Sockets for other namespaces of the same server share a connection, unless
        ``multiplex=False`` or ``force_new=True``.

        Raises TypeError and ValueError for options and URLs that are none.
        """
        check_names(options, ClientOptions)
        merged = {**self._defaults, **options}
        if merged.get("cookies"):
            merged["cookies"] = self._cookie_store(merged["cookies"])
        return self.protocol.socket(url, **merged)

    def _cookie_store(self, option: object) -> object:
        for known, store in self._cookie_stores:
            if known is option or store is option:
                return store
        store = make_cookie_store(option)
        self._cookie_stores.append((option, store))
        return store

    # For the driver -------------------------------------------------------------------------------------------

    @property
    def dispatch(self) -> Callable[[Any], Coroutine[Any, Any, None] | None]:
        """Call with an event to call its handlers. What is left to await comes back as a coroutine."""
        return self._dispatcher.dispatch
