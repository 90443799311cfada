"""The lab: scenarios on real processes on one machine, through a fault proxy, judged by what the nodes leave on disk.

What `papilio lab` runs; README.md beside this file says what happens in a run and how faults are made. The scenario
files, the drawing of faults, the checker of votes and the picture are the simulator's.

May import: everything in `daemon` but `daemon.cli` and `daemon.api`, and `protocol` with its simulator; it is no part
of a node. Public names:

* `preparing.prepare`      a scenario for this machine, or what cannot be made of it (`possible`, `shorter`)
* `lab.run_lab`            a run, to its report
* `judging.judge`          what directories of nodes hold, by rule
* `proxy.Proxy`, `Condition`, `CLEAR`, `Direction`   lines that delay, stall, hold back, throttle and corrupt
"""
