"""What goes wrong: each fault by name, how it is aimed at random, and how it begins and ends.

A fault is a `Kind`: `draw` aims it at random for scenarios with weights, `begin` carries out an `Aim` and gives the
function that ends it. A timetable (`timetable`) names aims itself. So what was drawn in one run can be written down as
a timetable and gives the same faults again, one by one: that is how a failing run is made smaller.

Reading order: `aim`, then `machines`, `links`, `disks`, `memories`, `clocks`, `driver`. A new fault is a
function in one of them and a line in its `KINDS`; the scenario files (daemon/scenarios) and reports know it by that
name.
"""

from __future__ import annotations

from protocol.sim.faults import clocks, disks, links, machines, memories
from protocol.sim.faults.aim import Aim, Amount, Kind

FAULTS: dict[str, Kind] = {**machines.KINDS, **links.KINDS, **clocks.KINDS, **disks.KINDS, **memories.KINDS}
"""Every fault by the name that scenarios and reports use."""

__all__ = ["FAULTS", "Aim", "Amount", "Kind"]
