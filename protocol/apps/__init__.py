"""Applications: what members and their users record on the ledger (L-8, L-19, L-23).

`accounts` changes the keys that act for an account. `evidence` records digests of documents, replaces and revokes
them. `points` keeps programmes whose points are issued against activities by a stated methodology, and moved,
redeemed, retired, expired. `registry` says which of them hold under which version of the rules, and puts any
operation into words. `distance` and `evidence.salted` are rules for clients: the ledger never runs them.

What each operation takes, refuses and writes stands in `SPECIFICATION.md`.
May import: ledger and below. Public names: those of `registry`, `distance`, `evidence` and `points`.
"""
