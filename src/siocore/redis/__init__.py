"""Several servers that serve one application, together with those of Node.js: ``Server(adapter=PubSub("redis://..."))``.

Needs coredis: ``pip install 'siocore[redis]'``.
"""

from __future__ import annotations

try:
    import coredis as _coredis  # noqa: F401
    import msgspec as _msgspec  # noqa: F401
except ImportError as error:
    raise ImportError("siocore.redis needs coredis and msgspec: pip install 'siocore[redis]'") from error

from siocore.redis._clusters import PubSub, PythonSocketIO, ShardedPubSub, Streams
from siocore.redis._emitters import Emitter, StreamsEmitter
from siocore.redis._sessions import SharedSessions

__all__ = ["Emitter", "PubSub", "PythonSocketIO", "ShardedPubSub", "SharedSessions", "Streams", "StreamsEmitter"]
