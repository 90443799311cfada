"""Restarting a network that has lost a quorum for good, from the survivors' disks (decision 0014).

What decides is `protocol.restart`; here are disks and files. `disk` reads a stopped node and brings its state to a
height; `reporting` seals its journal and makes its report; `planning` puts reports together into a restart document;
`files` holds the names and forms of what travels between members; `beginning` makes a node of the new network beside
the old one. May import config, store, audit (where the parts of a directory are), runtime (recovery, workers), upkeep
(the lock), limits; is used by `cli`.
"""
