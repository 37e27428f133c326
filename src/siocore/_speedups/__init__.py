"""Chooses between the compiled and the pure Python build: all of one, or all of the other.

``IMPLEMENTATION`` says which it is. ``SIOCORE_NO_EXTENSIONS=1`` in the environment asks for pure Python. Without it,
pure Python is used only where the compiled modules were never built; one that is missing or does not load is an error.

The codecs have compiled twins, under names of their own, and are offered from here. The classes of the core know
each other's layout in memory, so that there is one of each: they are compiled in place, and a finder decides whether
their names mean the compiled module or the source beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

__all__ = [
    "IMPLEMENTATION",
    "Packet",
    "Reconstructor",
    "apply_mask",
    "binary_frame",
    "call_in_copied_context",
    "decode_packet",
    "decode_payload",
    "decode_socket_packet",
    "dumps",
    "encode_binary_packet",
    "encode_packet",
    "encode_payload",
    "first_step",
    "loads",
    "masked_binary_frame",
    "masked_message_frames",
    "masked_text_frame",
    "message_frames",
    "parse_frames",
    "parse_unmasked_frames",
    "recognise_head",
    "text_frame",
]

#: The modules that are compiled in place. setup.py reads them from here.
IN_PLACE = (
    "siocore._driver.sockets",
    "siocore._driver.transfer",
    "siocore._driver.turn",
    "siocore._driver.wire",
    "siocore.application.client_dispatcher",
    "siocore.application.dispatcher",
    "siocore.client_events",
    "siocore.cluster.adapter",
    "siocore.cluster.broker",
    "siocore.cluster.classic",
    "siocore.cluster.classic_wire",
    "siocore.cluster.codec",
    "siocore.cluster.delivery",
    "siocore.cluster.messages",
    "siocore.cluster.sharded",
    "siocore.cluster.streams",
    "siocore.cluster.streams_adapter",
    "siocore.cluster.streams_wire",
    "siocore.codec.message",
    "siocore.driven",
    "siocore.endpoint.client_connection",
    "siocore.endpoint.connection",
    "siocore.endpoint.engine",
    "siocore.endpoint.interfaces",
    "siocore.endpoint.server",
    "siocore.engineio.client_heartbeat",
    "siocore.engineio.client_interfaces",
    "siocore.engineio.client_outbound",
    "siocore.engineio.client_session",
    "siocore.engineio.gate",
    "siocore.engineio.interfaces",
    "siocore.engineio.outbound",
    "siocore.engineio.revision3",
    "siocore.engineio.session",
    "siocore.engineio.shared",
    "siocore.events",
    "siocore.http.client_websocket",
    "siocore.http.connection",
    "siocore.http.events",
    "siocore.http.framing",
    "siocore.http.websocket",
    "siocore.link",
    "siocore.redis._commands",
    "siocore.redis._inbound",
    "siocore.redis._resp",
    "siocore.request",
    "siocore.socketio.acks",
    "siocore.socketio.adapter",
    "siocore.socketio.broadcast",
    "siocore.socketio.client",
    "siocore.socketio.client_acks",
    "siocore.socketio.client_member",
    "siocore.socketio.client_socket",
    "siocore.socketio.generation",
    "siocore.socketio.listeners",
    "siocore.socketio.listening",
    "siocore.socketio.names",
    "siocore.socketio.namespace",
    "siocore.socketio.socket",
    "siocore.timers",
    "siocore.waiting",
)


def _choose() -> Literal["cython", "python"]:
    if os.environ.get("SIOCORE_NO_EXTENSIONS", "") not in ("", "0"):
        return "python"
    folder = Path(__file__).parent
    return "cython" if any((folder / f"_frames{suffix}").exists() for suffix in EXTENSION_SUFFIXES) else "python"


IMPLEMENTATION: Literal["cython", "python"] = _choose()


class _Finder:
    """Finds the modules of IN_PLACE as the one build has them, and never as the other has."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in IN_PLACE or path is None:
            return None
        for folder in path:
            if IMPLEMENTATION == "cython":
                finder = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES))
            else:
                finder = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))
            spec = finder.find_spec(name)
            if spec is not None:
                return spec
        raise ModuleNotFoundError(f"{name} is missing in the compiled build of siocore: install it anew", name=name)


sys.meta_path.insert(0, _Finder)

if TYPE_CHECKING or IMPLEMENTATION == "python":
    from siocore.codec.engineio import decode_packet, decode_payload, encode_binary_packet, encode_payload
    from siocore.codec.frames import (
        apply_mask,
        binary_frame,
        masked_binary_frame,
        masked_message_frames,
        masked_text_frame,
        message_frames,
        parse_frames,
        parse_unmasked_frames,
        text_frame,
    )
    from siocore.codec.heads import recognise_head
    from siocore.codec.json import dumps, loads
    from siocore.codec.socketio import Packet, Reconstructor, decode_socket_packet, encode_packet
    from siocore.steps import call_in_copied_context, first_step
else:
    from siocore._speedups._engineio import decode_packet, decode_payload, encode_binary_packet, encode_payload
    from siocore._speedups._frames import (
        apply_mask,
        binary_frame,
        masked_binary_frame,
        masked_message_frames,
        masked_text_frame,
        message_frames,
        parse_frames,
        parse_unmasked_frames,
        text_frame,
    )
    from siocore._speedups._heads import recognise_head
    from siocore._speedups._json import dumps, loads
    from siocore._speedups._socketio import Packet, Reconstructor, decode_socket_packet, encode_packet
    from siocore._speedups._steps import call_in_copied_context, first_step
