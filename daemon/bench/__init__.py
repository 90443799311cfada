"""The measuring stick: `papilio bench` starts a network of real processes, loads it, judges what came of it, and says
under which conditions.

**How it measures.** The load is made by processes of their own (`generator`), signed before the clock runs, and sent
in an *open loop*: every request has a time at which it is due, whatever the nodes do, and latency counts from that time
(`arithmetic.due_times`). So a node that stalls is charged for everybody who waited, and a slow generator slows nothing
but its own figures, which say so (`late`). A transaction is seen final at another node than the one it was posted to.

**What it proves first.** A figure counts only after `judging` has found, on every node's own disk, each transaction
that was said to be final, none of those with a bad signature, and one state root.

Reading order: arithmetic (percentiles, due times, series), workloads and mixes (what is sent), plans (what parent and
generators tell each other), http, posting, following, bystanders, generator (the load), meters (/proc, disks,
counters), conditions, network (nodes, and the accounts that act), judging, trial (one stretch of load, summed up),
loading (the same, made), kinds (the workloads' table), search (the highest rate that is held), loads and histories (how
each workload is run), run (all of it), goals (what is to be reached), report, report_more, page and digest (what a
person reads), comparing (two reports), profiles.

Deliberately absent: any assertion on time. A slow machine gives slow figures, not failures; what fails a run is a node
that ends, or a ledger that is not what was promised.

May import: `protocol`, `daemon.client`, `daemon.config`, `daemon.demo` (nodes as processes, signing), `daemon.store`
(reading disks), `daemon.observe` (names of parts). Nothing imports it but the command line.
"""
