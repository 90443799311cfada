"""The shipped scenarios by name (configs/scenarios), for tests of the simulator."""

from __future__ import annotations

from daemon.scenarios.shipped import scenarios

SCENARIOS = scenarios()
