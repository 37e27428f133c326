"""The messages of servers that share sessions: those that were recorded from @socket.io/cluster-engine, and back."""

from __future__ import annotations

from typing import Any

import pytest

from siocore.cluster.codec import encode_msgpack
from siocore.cluster.engine_wire import (
    EngineMessageType,
    decode_message,
    encode_message,
    read_packet,
    write_packet,
)
from siocore.errors import DecodeError

SID = "0epKP73a0-KAEwwGAAAA"

#: What one of Node.js' servers has published, with what it says: the type, who to, the request, the data.
RECORDED: list[tuple[str, EngineMessageType, str, int | None, dict[str, Any]]] = [
    (
        (
            "85a972657175657374496401a873656e6465724964a6353362623631a47479706500a46461746183a3736964b43065704b50373361302d4b41"
            "4577774741414141ad7472616e73706f72744e616d65a7706f6c6c696e67a474797065a57772697465a75f736f75726365a45f65696f"
        ),
        EngineMessageType.ACQUIRE_LOCK,
        "",
        1,
        {"sid": SID, "transportName": "polling", "type": "write"},
    ),
    (
        (
            "86a972657175657374496401a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706501a464617461"
            "81a773756363657373c3a75f736f75726365a45f65696f"
        ),
        EngineMessageType.ACQUIRE_LOCK_RESPONSE,
        "6190d7",
        1,
        {"success": True},
    ),
    (
        (
            "85a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706503a46461746182a3736964b43065704b50"
            "373361302d4b414577774741414141a67061636b657482a474797065a76d657373616765a464617461c40103a75f736f75726365a45f65696f"
        ),
        EngineMessageType.PACKET,
        "6190d7",
        None,
        {"sid": SID, "packet": {"type": "message", "data": b"\x03"}},
    ),
    (
        (
            "86a972657175657374496442a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706504a464617461"
            "82a3736964b43065704b50373361302d4b414577774741414141a773756363657373c3a75f736f75726365a45f65696f"
        ),
        EngineMessageType.UPGRADE,
        "6190d7",
        66,
        {"sid": SID, "success": True},
    ),
    (
        (
            "86a972657175657374496442a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706505a464617461"
            "82a874616b654f766572c3a77061636b6574739182a474797065a76d657373616765a464617461a130a75f736f75726365a45f65696f"
        ),
        EngineMessageType.UPGRADE_RESPONSE,
        "6190d7",
        66,
        {"takeOver": True, "packets": [{"type": "message", "data": "0"}]},
    ),
    (
        (
            "85a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706502a46461746182a3736964b43065704b50"
            "373361302d4b414577774741414141a77061636b6574739181a474797065a46e6f6f70a75f736f75726365a45f65696f"
        ),
        EngineMessageType.DRAIN,
        "6190d7",
        None,
        {"sid": SID, "packets": [{"type": "noop"}]},
    ),
    (
        (
            "85a873656e6465724964a6353362623631ab726563697069656e744964a6363139306437a47479706506a46461746182a3736964b43065704b50"
            "373361302d4b414577774741414141a6726561736f6eaf7472616e73706f727420636c6f7365a75f736f75726365a45f65696f"
        ),
        EngineMessageType.CLOSE,
        "6190d7",
        None,
        {"sid": SID, "reason": "transport close"},
    ),
]
#: A DRAIN whose packets have options, as Node.js writes them.
WITH_OPTIONS = (
    "85a873656e6465724964a6363139306437ab726563697069656e744964a6353362623631a47479706502a46461746182a3736964b43065704b5037"
    "3361302d4b414577774741414141a77061636b6574739183a474797065a76d657373616765a76f7074696f6e7381a8636f6d7072657373c3a46461"
    "7461bf307b22736964223a226e315536645a42796c702d655862333041414141227da75f736f75726365a45f65696f"
)


@pytest.mark.parametrize(("block", "type", "recipient", "request_number", "data"), RECORDED)
def test_what_is_written_is_what_nodejs_writes(
    block: str, type: EngineMessageType, recipient: str, request_number: int | None, data: dict[str, Any]
) -> None:
    written = encode_message(type, "53bb61", data, recipient=recipient, request=request_number)
    assert written.hex() == block


def test_what_nodejs_writes_is_read() -> None:
    lock, response, packet, upgrade, take_over, drain, close = [
        decode_message(bytes.fromhex(block)) for block, *_ in RECORDED
    ]
    assert lock is not None
    assert (lock.sender, lock.request, lock.sid, lock.transport, lock.writes) == ("53bb61", 1, SID, "polling", True)
    assert response is not None
    assert (response.request, response.success) == (1, True)
    assert packet is not None
    assert (packet.sid, packet.packets) == (SID, (b"\x03",))
    assert upgrade is not None
    assert (upgrade.request, upgrade.sid, upgrade.success) == (66, SID, True)
    assert take_over is not None
    assert (take_over.request, take_over.success, take_over.packets) == (66, True, ["40"])
    assert drain is not None
    assert (drain.sid, drain.packets) == (SID, ["6"])
    assert close is not None
    assert (close.sid, close.reason) == (SID, "transport close")
    options = decode_message(bytes.fromhex(WITH_OPTIONS))
    assert options is not None
    assert options.packets == ['40{"sid":"n1U6dZBylp-eXb30AAAA"}']


@pytest.mark.parametrize("message", ["0", "1", "2", "3probe", "4", "4ä", "5", "6", b"", b"\x00\xff"])
def test_packets_come_back_as_they_were(message: str | bytes) -> None:
    assert read_packet(write_packet(message)) == message


def test_a_packet_that_its_sender_could_not_read() -> None:
    assert read_packet({"type": "error", "data": "parser error"}) is None


@pytest.mark.parametrize(
    "packet",
    [None, [], "4", {}, {"type": 4}, {"type": "huge"}, {"type": "ping", "data": b"a"}, {"type": "message", "data": 1}],
)
def test_what_is_no_packet(packet: object) -> None:
    with pytest.raises(DecodeError):
        read_packet(packet)


@pytest.mark.parametrize(
    "message",
    [{"_source": "other"}, {"_source": "_eio", "type": 7, "data": {}}, {"_source": "_eio", "type": -1, "data": {}}],
)
def test_what_is_not_for_us(message: dict[str, Any]) -> None:
    assert decode_message(encode_msgpack({"senderId": "a", **message})) is None
