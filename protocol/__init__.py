"""Papilio's protocol: the whole node as a deterministic machine without a clock, randomness, I/O or threads.

Rooms, each importing only from those below: `sim`; `node`; `gossip`, `pool`, `dissemination`, `sync`; `wire`; `apps`,
`consensus`; `ledger`; `crypto`; `codec`; `limits`; `errors`. `consensus` and `ledger` do not know each other. A reader
starts with `node/interface.py`: what enters and leaves.
"""
