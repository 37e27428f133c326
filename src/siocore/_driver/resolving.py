"""Addresses of a name, in the order in which they are tried (RFC 8305, section 4)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Final, TypeAlias

__all__ = ["SocketAddress", "numeric_addresses", "resolved_addresses"]

#: Family, and what ``socket.connect`` takes.
SocketAddress: TypeAlias = tuple[int, Any]

#: Addresses of one name that are tried at most: whoever answers for it can name any number.
_MAX_ADDRESSES: Final = 32


def numeric_addresses(host: str, port: int) -> list[SocketAddress] | None:
    """The address that ``host`` is, or ``None`` if it is a name, which somebody must be asked for."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return resolved_addresses(found)


def resolved_addresses(found: Sequence[Sequence[Any]]) -> list[SocketAddress]:
    """What getaddrinfo has found, in its order, but the families take turns: where one does not work, the next may."""
    families: dict[int, dict[Any, None]] = {}
    for entry in found:
        # A dict: some resolvers report an address several times.
        families.setdefault(entry[0], {})[entry[4]] = None
    columns = [[(family, address) for address in addresses] for family, addresses in families.items()]
    return [address for address in chain.from_iterable(zip_longest(*columns)) if address is not None][:_MAX_ADDRESSES]
