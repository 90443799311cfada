"""The audit: a node's history judged from its files and genesis alone, by somebody who believes nobody (L-21, L-26).

What an auditor runs over a copy of a node's directory, and what demo, benchmarks and system tests judge nodes by. For
each block: its bytes check, it stands on the one below, it is valid, its batches are those that it names, every
signature in them verifies, its certificate is a quorum's of that epoch's validators. Then all of it is executed from
genesis, and what came out is compared with what the headers state, with a state store, and with another directory or a
running node. The first difference is named exactly.

May import: protocol, `daemon.store`, `daemon.config`, `daemon.client` (to ask a node), `daemon.limits`, and of the
workers their frames and the overlay. It is no part of a node, takes no lock, and changes nothing in what it reads.
Public names:

* `audit.Wishes`, `audit.audit`          what to audit, and doing it
* `findings.Report`, `Difference`, `Of`  what was found
* `places.find_place`                    where a directory's parts are, and `network_file`: of which network they are

It imports none of them itself: the process that reads a state store (state_child.py) starts in a moment.

Deliberately absent: repair, and any trust in an index, a state store, or what a node says.
"""
