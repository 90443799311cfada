"""The simulator: many real nodes, one heap of events, no real time (testing.md).

A run is (program, scenario, seed) and gives the same bytes each time. The nodes are the product's `Node`,
unchanged; what is simulated is the world around them: disks that lose what was not synced, links that
delay, lose and cut, clocks that are wrong, workers that take their time, clients that come and go, and
members that lie. Checkers look at what was persisted and said, with eyes of their own.

Reading order: `events` (time), `disk`, `signatures`, `services` (what workers do; `ledger_services` is the product's
ledger), `surroundings`, `workers`, `host` (one node and the duties of its driver), `network`, `faults` (what goes
wrong, and when), `timetable`, `byzantine`, `workload` (clients), `facts` (who signed what), `checkers`, `bench`,
`scenarios`, `world` (all put together), `run` (from a scenario and a seed to a report). `lines` puts the last lines of
a node into words, `trace` keeps what a picture of a run needs, `receipts` makes proofs, `tables` finds all that can
grow in a node, `raw` packs bytes by hand.

Where new things go: a fault is a `Kind` in `faults`; a byzantine actor a file in `byzantine`; a checker a file in
`checkers`; a scenario a file in configs/scenarios (SPECIFICATION.md has its vocabulary).

May import: every room of `protocol` (it stands above `node`), and `random.Random`, always from a seed. Nothing
else of `protocol` may import this room. No clock, no I/O, no floats: the command line lives elsewhere. Public
names: `run.run`, `run.Report`, `scenarios.Scenario`, `trace.Tracer`.
"""
