"""What the Python clients share: the plan that they are given, the meter, and the line that they print."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass

__all__ = ["Meter", "Plan", "WrongAnswer", "plan", "report"]


class WrongAnswer(Exception):
    """What came is not what was asked for."""


@dataclass(frozen=True)
class Plan:
    """One run, given as JSON: ``mode`` "ack" runs for a time, "incoming" until so many ``events`` have come."""

    port: int
    mode: str
    clients: int
    in_flight: int
    payload: int
    seconds: float
    warm_up: float
    events: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        return "x" * self.payload

    @property
    def floods(self) -> tuple[int, int]:
        """How many events are sent to warm up, and how many are measured."""
        return -(-self.events // 5), self.events


class Meter:
    """Time, and CPU time of this process, since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._used = _cpu()

    def result(self, messages: int) -> dict[str, float]:
        return {
            "messages": messages,
            "seconds": time.perf_counter() - self._began,
            "cpu": _cpu() - self._used,
        }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def plan(argument: str) -> Plan:
    return Plan(**json.loads(argument))


def report(result: dict[str, float]) -> None:
    json.dump(result, sys.stdout)
    print(flush=True)
