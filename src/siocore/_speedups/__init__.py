"""Chooses between the compiled and the pure Python build of the codecs: all of one, or all of the other.

``IMPLEMENTATION`` says which it is. ``SIOCORE_NO_EXTENSIONS=1`` in the environment asks for pure Python. Without it,
pure Python is used only where the compiled modules were never built; one that is there and does not load is an error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from siocore.codec.engineio import decode_packet, decode_payload, encode_binary_packet, encode_payload
from siocore.codec.frames import apply_mask, binary_frame, message_frames, parse_frames, text_frame
from siocore.codec.heads import recognise_head
from siocore.codec.json import dumps, loads
from siocore.codec.socketio import Packet, Reconstructor, decode_socket_packet, encode_packet

__all__ = [
    "IMPLEMENTATION",
    "Packet",
    "Reconstructor",
    "apply_mask",
    "binary_frame",
    "decode_packet",
    "decode_payload",
    "decode_socket_packet",
    "dumps",
    "encode_binary_packet",
    "encode_packet",
    "encode_payload",
    "loads",
    "message_frames",
    "parse_frames",
    "recognise_head",
    "text_frame",
]

IMPLEMENTATION: Literal["cython", "python"] = "python"

if not TYPE_CHECKING and os.environ.get("SIOCORE_NO_EXTENSIONS", "") in ("", "0"):
    try:
        from siocore._speedups._frames import apply_mask, binary_frame, message_frames, parse_frames, text_frame
    except ModuleNotFoundError as error:
        if error.name != "siocore._speedups._frames":
            raise
    else:
        from siocore._speedups._engineio import decode_packet, decode_payload, encode_binary_packet, encode_payload
        from siocore._speedups._heads import recognise_head
        from siocore._speedups._json import dumps, loads
        from siocore._speedups._socketio import Packet, Reconstructor, decode_socket_packet, encode_packet

        IMPLEMENTATION = "cython"
