"""siocore's blocking client over WebSocket: run as a module, with a plan (``measured.py``) in JSON."""

from __future__ import annotations

import sys
import time
from typing import Any

import siocore.sync
from bench.clients.programs.measured import Meter, Plan, WrongAnswer, plan, report


def acknowledged(socket: Any, plan: Plan) -> dict[str, float]:
    _ask(socket, plan.text, plan.warm_up)
    meter = Meter()
    return meter.result(_ask(socket, plan.text, plan.seconds))


def _ask(socket: Any, text: str, seconds: float) -> int:
    messages = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if socket.emit_with_ack("echo", text) != text:
            raise WrongAnswer
        messages += 1
    return messages


def incoming(socket: Any, plan: Plan) -> dict[str, float]:
    text, expected, meter = plan.text, 0, Meter()
    for count in plan.floods:
        expected, meter = 0, Meter()
        socket.emit("flood", count, text)
        for event in socket.events():
            if event.name == "end":
                break
            if event.args != [expected, text]:
                raise WrongAnswer
            expected += 1
    return meter.result(expected)


def main(plan: Plan) -> None:
    with siocore.sync.connect(plan.url, transports=["websocket"]) as socket:
        result = incoming(socket, plan) if plan.mode == "incoming" else acknowledged(socket, plan)
    report(result)


main(plan(sys.argv[1]))
