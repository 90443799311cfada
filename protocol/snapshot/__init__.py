"""Snapshots of the state: cut into pieces that prove themselves, offered, checked, and put together again.

A node that joins by a snapshot gets everything that the next block's execution reads: the state at a height, under the
root that a final header names; the headers and blocks of the window in which envelopes are remembered (L-7), below that
header by their hashes; their receipts and the frontier of the log, under the log root of the same header; and how each
epoch ended (C-22). `pieces` makes and checks pieces of the state, `offers` checks why a snapshot is the network's,
`serving` answers questions, `installing` fills tables and blocks with what was gathered. The conversation is
`protocol.node.joining`.

May import apps (rules of genesis), ledger, proofs, wire. Public names: those of its modules.
"""
