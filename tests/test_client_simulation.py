"""Clients and servers of siocore on virtual time, driven by random schedules over odd networks and through faults.

``SIOCORE_SIMULATION_SEEDS`` is how many schedules are run; ``SIOCORE_SIMULATION_FIRST`` is the first one's seed.
"""

from __future__ import annotations

import os

import pytest

from client_simulation import Run

SEEDS = int(os.environ.get("SIOCORE_SIMULATION_SEEDS", "60"))
FIRST = int(os.environ.get("SIOCORE_SIMULATION_FIRST", "0"))
BLOCKS = 6


def run(seed: int) -> Run:
    this = Run(seed)
    try:
        this.run()
    except BaseException as error:
        raise AssertionError(f"seed {seed} ({this.description})") from error
    return this


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_delivery_guarantees_hold_for_clients_that_come_back(block: int) -> None:
    delivered = complete = 0
    for seed in range(FIRST + block, FIRST + SEEDS, BLOCKS):
        this = run(seed)
        delivered += sum(len(received.numbers) for received in this.history.received)
        complete += this.complete
    # The runs are about something.
    assert delivered > 4 * SEEDS // BLOCKS
    assert complete > SEEDS // BLOCKS // 2
