"""What the commands of a broker are for Redis, and what its replies mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coredis.exceptions import RedisError

from siocore.cluster.broker import (
    AddEntry,
    Command,
    CountSubscribers,
    Entry,
    ListChannels,
    Publish,
    ReadEntries,
    StoreValue,
    TakeValue,
)

__all__ = [
    "Arguments",
    "arguments_of",
    "bytes_of",
    "entries_of",
    "is_for_all",
    "key_of",
    "meaning_of",
    "merged",
    "text_of",
]


#: A command with its arguments, as Redis has them.
Arguments = tuple[bytes | str | int, ...]


def arguments_of(command: Command) -> Arguments:
    """The command as Redis has it."""
    if isinstance(command, Publish):
        return (b"SPUBLISH" if command.sharded else b"PUBLISH", bytes_of(command.channel), command.data)
    if isinstance(command, AddEntry):
        arguments: list[bytes | str | int] = [b"XADD", command.stream, b"MAXLEN", b"~", command.max_length, b"*"]
        for field in command.fields:
            arguments += field
        return tuple(arguments)
    if isinstance(command, CountSubscribers):
        return (b"PUBSUB", b"SHARDNUMSUB" if command.sharded else b"NUMSUB", bytes_of(command.channel))
    if isinstance(command, ListChannels):
        return (b"PUBSUB", b"SHARDCHANNELS" if command.sharded else b"CHANNELS", bytes_of(command.pattern))
    if isinstance(command, ReadEntries):
        count = () if command.count is None else (b"COUNT", command.count)
        return (b"XRANGE", command.stream, command.start, command.end, *count)
    if isinstance(command, StoreValue):
        return (b"SET", bytes_of(command.key), command.value, b"PX", max(1, round(command.ttl * 1000)))
    if isinstance(command, TakeValue):
        return (b"GETDEL", bytes_of(command.key))
    raise TypeError(f"not a command of a broker: {type(command).__name__}")


def bytes_of(name: str) -> bytes:
    """A name as Redis has it. Clients may have chosen it, and what JSON takes for text need not be Unicode."""
    return name.encode("utf-8", "surrogatepass")


def text_of(name: bytes) -> str:
    """The name that :func:`bytes_of` has written; of what it has not, something else."""
    try:
        return name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace")


def key_of(command: Command) -> str | None:
    """What decides which server of a Redis Cluster it is for; None: any."""
    if isinstance(command, Publish):
        return command.channel if command.sharded else None
    if isinstance(command, (AddEntry, ReadEntries)):
        return command.stream
    if isinstance(command, (StoreValue, TakeValue)):
        return command.key
    return None


def is_for_all(command: Command) -> bool:
    """Whether every server of a Redis Cluster has to be asked."""
    return isinstance(command, (CountSubscribers, ListChannels))


def merged(command: Command, meanings: Sequence[Any]) -> Any:
    """What the answers of all servers mean together."""
    if isinstance(command, CountSubscribers):
        return sum(meanings)
    return sorted({channel for each in meanings for channel in each})


def meaning_of(command: Command, reply: Any) -> Any:
    """What a reply means, as the command's own docstring says. Raises RedisError for a reply that can't be one."""
    try:
        if isinstance(command, CountSubscribers):
            return int(next(iter(reply.values())) if isinstance(reply, dict) else reply[1])
        if isinstance(command, ListChannels):
            return [text_of(channel) for channel in reply]
        if isinstance(command, AddEntry):
            return reply.decode("ascii")
        if isinstance(command, ReadEntries):
            return entries_of(reply)
        if isinstance(command, StoreValue):
            return None
        return reply
    except (AttributeError, IndexError, StopIteration, TypeError, ValueError) as error:
        raise RedisError(f"Redis gave an answer that nobody understands: {error}") from None


def entries_of(reply: Any) -> list[Entry]:
    """The entries in a reply."""
    entries: list[Entry] = []
    for identifier, fields in reply or ():
        # What was deleted meanwhile has none.
        if fields is None:
            continue
        pairs = {}
        for at in range(0, len(fields), 2):
            pairs[fields[at]] = fields[at + 1]
        entries.append((identifier.decode("ascii"), pairs))
    return entries
