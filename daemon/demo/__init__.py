"""The demonstration: a real network of four daemons and a real case, from one command (`papilio demo`).

Everything in it is what a user has: nodes are processes of `papilio run` on durable directories, everything that
is asked and sent goes through `daemon.client` over HTTP, proofs are checked by the command line. Nothing here reaches
into a node.

Reading order:

* `data`       others' documents and trips, carried byte for byte; see its README.md
* `trips`      bicycle trips from a CSV file, columns by name
* `documents`  EPCIS documents, and the table of business steps that assigns them to members
* `people`     accounts: four members, a bicycle operator, a shop, riders
* `desk`       operations in, signed envelopes out
* `programme`  the green-travel programme and its operations
* `load`       everything that is sent at once, and what it has to become
* `mistakes`   what is sent wrongly on purpose, one by one
* `commands`, `nodes`  programs of papilio, and the four processes among them
* `meter`      what became final, how fast, how long it took
* `telling`    lines and live progress
* `stage`      clients, the follower of events, delivery with its expectations
* `story`      the order of events; `killing` its part with the killed node, `ending` proof, roots, summary
* `interrupts` how it ends before its time
* `demo`       from wishes to an exit, with nothing left behind

The state is computed again by `papilio audit`, in processes of their own.

May import: everything in `daemon` and `protocol`.
"""
