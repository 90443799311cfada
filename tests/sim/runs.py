"""Runs that several tests look at: each is made once in a process."""

from __future__ import annotations

from functools import cache

from protocol.sim.run import Report, run
from tests.sim.named import SCENARIOS


@cache
def report_for(name: str, seed: int) -> Report:
    """The report of this run."""
    return run(SCENARIOS[name], seed)
