"""What is measured: the shapes of load, each a mode of the generator with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WORKLOADS", "Workload", "select"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the tables. ``unit`` is what is counted; ``payload`` is in bytes."""

    name: str
    title: str
    mode: str
    clients: int
    in_flight: int = 1
    payload: int = 64
    unit: str = "message"


WORKLOADS = (
    Workload("ack-20x1", "acknowledged event, 20 clients × 1 in flight", "ack", 20),
    Workload("ack-20x8", "acknowledged event, 20 clients × 8 in flight", "ack", 20, 8),
    Workload("ack-200x1", "acknowledged event, 200 clients × 1 in flight", "ack", 200),
    Workload("binary", "binary echo of 1 KiB, 20 clients × 4 in flight", "binary", 20, 4, 1024),
    Workload("broadcast", "broadcast to 200 clients, 4 in flight", "broadcast", 200, 4, unit="delivery"),
    Workload("connect", "connect over WebSocket, 20 at a time", "connect", 20, unit="connection"),
    Workload("handshake", "polling handshake, 20 keep-alive connections", "handshake", 20, unit="handshake"),
    Workload("pollecho", "polling echo, 20 clients × 1 in flight", "pollecho", 20, unit="round trip"),
    Workload("idle", "idle WebSocket connections, 5,000", "idle", 5000, unit="connection"),
)


def select(names: str | None) -> tuple[Workload, ...]:
    """The workloads of a comma-separated list of names, or of beginnings of names; all of them for ``None``.

    Raises ValueError for a name that fits none.
    """
    if names is None:
        return WORKLOADS
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if not any(workload.name.startswith(name) for workload in WORKLOADS):
            known = ", ".join(workload.name for workload in WORKLOADS)
            raise ValueError(f"no workload begins with {name!r}; there are {known}")
    return tuple(workload for workload in WORKLOADS if workload.name.startswith(tuple(wanted)))
