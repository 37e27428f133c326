"""What every test run says and assumes."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from siocore._speedups import IMPLEMENTATION

# Runs are repeatable: a property that fails here fails everywhere. SIOCORE_HYPOTHESIS=explore looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("SIOCORE_HYPOTHESIS", "repeatable"))


def pytest_report_header() -> str:
    return f"siocore: {IMPLEMENTATION} implementation"
