"""Keeping what is on disk whole: finding damage, telling it exactly, putting it right (L-25, L-26).

`check` reads everything that a data directory holds and judges it, changing nothing. `repair` moves what is damaged
aside and puts good content in its place: blocks from other nodes, believed only as far as they prove themselves, and
what is derived (indexes, state) from the blocks. A running node mends single blocks by itself
(`daemon.runtime.mending`), judged by the same `judging`.

May import: `daemon.store`, `daemon.config`, the execute worker's `Ledger` (a state is rebuilt by what built it),
`daemon.client` for asking nodes, and `protocol`. Knows no Trio.
Public names: `check_directory`, `repair_directory`, `Finding`, `Report`.
"""
