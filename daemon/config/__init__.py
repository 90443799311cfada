"""Configuration: the files that people write and read, as checked values.

* `texts`     how keys, hashes, ids and addresses are written
* `values`    the types of values in files
* `tables`, `network`, `node`, `card`   the models of network.toml, node.toml and member.toml
* `genesis`   from `[genesis]` to the canonical record and back (L-4)
* `keyfiles`  secret keys
* `places`, `problems`, `files`   reading: every problem at once, each with file, line, key, what was expected, what was
  found, and the nearest known key
* `write`, `samples`   writing files and the samples in configs/

Reading order: node, network, files, problems. May import: `protocol`. This file imports nothing, so that who needs
one part loads one part.
"""
