"""One connection to a server, made again when it is lost, and the sockets that share it."""

from __future__ import annotations

from siocore.client_options import ClientOptions
from siocore.target import Target

__all__ = ["Manager"]


class Manager:
    """Keeps a link to one server open for its sockets."""

    def __init__(self, target: Target, options: ClientOptions) -> None:
        self.target = target
        self.options = options
