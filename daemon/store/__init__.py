"""What a node keeps on disk: journal, segments, state, and the directory that holds them.

`directory` is the door: `create` makes a node's data directory, `open_directory` locks it and returns a `Store`.
`journal` keeps what was promised and is not final (L-24), `segments` the finalized blocks (L-25), `tables` the state
derived from them (L-26); `pages` walks the state's file without LMDB, `mending` puts good files in the place of damaged
ones (they are judged in `daemon.upkeep`). `files` is the seam through which journal and segments reach the disk,
`framing` how their records lie in files, `errors` what is raised.

The calls block; the runtime makes them in worker threads. Nothing here knows Trio, consensus, or what a record means.
May import: `protocol` (errors, limits, the interface of tables), `daemon.limits`.
"""
