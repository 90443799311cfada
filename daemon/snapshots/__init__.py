"""Snapshots of the state on disk: made at checkpoints, served to joiners, gathered and installed by them.

`pieces_file` is where pieces lie, on both sides; `making` cuts the state into them (in a process of its own, `child`),
`shelf` serves what was made, `joining` runs `protocol.node.joining` before there is a node, `install` turns what was
gathered into a data directory. May import net, observe, store, and of the runtime what does not need a node.
"""
