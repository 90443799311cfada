"""The runtime: what turns the pure node into a process.

It gives `protocol.node` a clock, a disk, peers and workers, and keeps the duties that
`protocol.node.interface` numbers: persist, then send, then apply and answer.

Reading order:

* `clock`    the two times of a step
* `inbox`    inputs waiting for the node, urgent before bulk, both bounded
* `driver`   one task that steps the node, and nothing else does
* `pump`     effects in order, behind one group commit (L-24)
* `keeper`   the journal's commits, and its rotation behind synced segments
* `finals`   final blocks to the segments, then to execution, in order
* `workers/` verification and execution in processes of their own
* `recovery` what the disk holds at a start, and replay of the state (L-26)
* `hands`    how each effect is carried out, and how what comes back becomes an input
* `evidence` what validators signed twice, as files
* `service`, `events`, `proving`  what the HTTP API and the command line ask of a running node
* `edges`, `peers`  what faces the outside: the network of peers, and whatever serves clients
* `parts`, `runtime`  all of it put together and taken down again
* `reports`, `main`   the process: signals, exit codes, and the file that is left when the node stops itself

May import: `protocol`, `daemon.store`, `daemon.net`, `daemon.config`, `daemon.observe`. This file imports
nothing: worker processes import it, and their memory counts.
"""
