"""What is measured: the shapes of load, each a mode of the generator with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AMONG", "GROWTH", "WORKLOADS", "Workload", "select"]

#: Seconds between two heartbeats of a connection: what every server does if nobody says otherwise.
PING_INTERVAL = 25


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
    #: Open loop: events per second. Mode heartbeat: connections that are opened per second.
    per_second: float | None = None
    #: Open loop: the load is half of the rate at which this server ("" means each one itself) answered ``ack-20x1``.
    half_of: str | None = None
    #: How long is measured, where that is not for the user to say.
    seconds: float | None = None
    #: Repetitions at the most, where one takes long or where they hardly differ.
    most: int | None = None
    quick: bool = True
    #: Mode growth: clients that are not silent; all of them for ``None``.
    active: int | None = None


def _growth(clients: int, quick: bool) -> Workload:
    title = f"acknowledged event, 10 in flight over {clients:,} clients"
    return Workload(f"growth-{clients}", title, "growth", clients, 10, most=2, quick=quick)


def _silent(clients: int, quick: bool) -> Workload:
    title = f"acknowledged event, 10 in flight over 10 clients among {clients:,}"
    return Workload(f"among-{clients}", title, "growth", clients, 10, most=2, quick=quick, active=10)


#: The same ten clients, while others are connected and silent.
AMONG = tuple(_silent(clients, clients in (10, 10_000)) for clients in (10, 1_000, 10_000))
GROWTH = tuple(_growth(clients, clients in (10, 10_000)) for clients in (10, 100, 1_000, 10_000))

WORKLOADS = (
    Workload("ack-20x1", "acknowledged event, 20 clients × 1 in flight", "ack", 20),
    Workload("ack-20x8", "acknowledged event, 20 clients × 8 in flight", "ack", 20, 8),
    Workload("ack-200x1", "acknowledged event, 200 clients × 1 in flight", "ack", 200),
    Workload("binary", "binary echo of 1 KiB, 20 clients × 4 in flight", "binary", 20, 4, 1024),
    Workload("broadcast", "broadcast to 200 clients, 4 in flight", "broadcast", 200, 4, unit="delivery"),
    Workload("connect", "connect over WebSocket, 20 at a time", "connect", 20, unit="connection"),
    Workload("handshake", "polling handshake, 20 keep-alive connections", "handshake", 20, unit="handshake"),
    Workload("pollecho", "polling echo, 20 clients × 1 in flight", "pollecho", 20, unit="round trip"),
    Workload("tail-half", "20 clients, at half of the server's own rate", "tail", 20, half_of="", most=2),
    Workload("tail-node", "20 clients, at half of Node.js' rate", "tail", 20, half_of="node", most=2),
    *AMONG,
    *GROWTH,
    Workload("room-100", "event to a room of 10, among 100 clients", "room", 100, 4, unit="delivery", most=1),
    Workload("room-10000", "event to a room of 10, among 10,000 clients", "room", 10_000, 4, unit="delivery", most=1),
    Workload("join-100", "join and leave a room of 10, among 100 clients", "join", 100, unit="join and leave", most=1),
    Workload(
        "join-10000", "join and leave a room of 10, among 10,000 clients", "join", 10_000, unit="join and leave", most=1
    ),
    Workload("idle-5000", "idle WebSocket connections, 5,000", "idle", 5_000, unit="connection", most=1),
    Workload(
        "idle-15000", "idle WebSocket connections, 15,000", "idle", 15_000, unit="connection", most=1, quick=False
    ),
    Workload(
        "heartbeat-10000",
        "heartbeats of 10,000 idle connections",
        "heartbeat",
        10_000,
        unit="heartbeat",
        # Opened evenly over one interval, so that what follows is a steady rate: any window is as good as another.
        per_second=10_000 / PING_INTERVAL,
        seconds=8,
        most=1,
        quick=False,
    ),
)


def select(names: str | None) -> tuple[Workload, ...]:
    """The workloads of a comma-separated list of names, or of beginnings of names; all of them for ``None``.

    Raises ValueError for a name that fits none.
    """
    if names is None:
        return WORKLOADS
    chosen: set[str] = set()
    known = [workload.name for workload in WORKLOADS]
    for name in (each.strip() for each in names.split(",")):
        found = [name] if name in known else [each for each in known if each.startswith(name)]
        if not found:
            raise ValueError(f"no workload begins with {name!r}; there are {', '.join(known)}")
        chosen.update(found)
    return tuple(workload for workload in WORKLOADS if workload.name in chosen)
