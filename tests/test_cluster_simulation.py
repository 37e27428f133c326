"""Clusters on virtual time, driven by random schedules through slow connections and outages of Redis.

``SIOCORE_SIMULATION_SEEDS`` is how many schedules are run; ``SIOCORE_SIMULATION_FIRST`` is the first one's seed.
"""

from __future__ import annotations

import os

import pytest

from cluster_simulation import KINDS, Run

SEEDS = int(os.environ.get("SIOCORE_SIMULATION_SEEDS", "120"))
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
def test_what_a_cluster_promises_holds_through_outages(block: int) -> None:
    delivered = recovered = 0
    kinds = set()
    for seed in range(FIRST + block, FIRST + SEEDS, BLOCKS):
        this = run(seed)
        delivered += this.delivered
        recovered += this.recovered
        kinds.add(this.kind)
    # The runs are about something.
    assert delivered > 40 * SEEDS // BLOCKS
    assert recovered
    assert kinds == set(KINDS)


@pytest.mark.parametrize(
    "seed",
    [
        # An offset behind which entries were still to be added for events that had been delivered already.
        1307,
        # Entries that a client that came back was given, and that its server had still to hear of.
        1526,
    ],
)
def test_what_once_went_wrong(seed: int) -> None:
    run(seed)
