"""Consensus: orders opaque digests among the validators of one epoch (rules C-1 to C-20, SPECIFICATION.md).

May import codec, crypto, limits, errors; never the ledger: consensus knows no blocks. Public names: `Machine`
(`machine`), its inputs and effects (`inputs`), what is signed (`statements`), `Validators`, and the checks of
certificates that a stranger needs too (`certificates`). Reading order: SPECIFICATION.md, machine, voting,
counting, views, spreading, votes, pace, rotation, core.
"""
