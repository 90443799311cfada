"""The demonstration: a real network of four daemons and a real case, from one command (`papilio demo`).

Everything in it is what a user has: nodes are processes of `papilio run` on durable directories, everything that
is asked and sent goes through `daemon.client` over HTTP, proofs are checked by the command line. Nothing here reaches
into a node.

Reading order:

* `data`       others' documents and trips, carried byte for byte; see its README.md
* `trips`      bicycle trips from a CSV file, columns by name
* `documents`  EPCIS documents, and the table of business steps that assigns them to members
* `people`     accounts: four members, a bicycle operator, a shop, riders
* `programme`  the green-travel programme and its operations
* `mistakes`   what is sent wrongly on purpose
* `load`       everything that is sent at once: bundles, single transactions, refused ones
* `nodes`      four processes, one of which is killed
* `meter`      what became final, how fast, how long it took
* `telling`    lines and live progress
* `story`      the order of events
* `ending`     the same state on four disks, and the summary

May import: everything in `daemon` and `protocol`.
"""
