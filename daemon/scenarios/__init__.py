"""Scenarios as files, and what people do with them in the simulator: find, read, run, search, shrink, draw.

* `tables`    the form of a scenario file; every key is documented there and in protocol/sim/SPECIFICATION.md
* `durations` how durations are written: "30 s", "8 h"
* `meaning`   from a file to `protocol.sim.scenarios.Scenario`, or every problem with its line
* `shipped`   the ones that come with the program (configs/scenarios), by name; any other by its path
* `write`     a scenario as TOML
* `search`, `shrink`, `scale`   many runs: over seeds, towards a smaller one, over numbers of validators
* `page`      a run as a picture in one HTML file

The vocabulary names nothing that only a simulator has but in `[disk]`, `[work]` and `[link]`, so real processes can be
driven by the same files. May import: `protocol`, `daemon.config`. This file imports nothing.
"""
