"""Backup: a copy of a node that runs or not, and a node made of it again (C-24).

**What belongs into a backup.** The blocks, because a node comes back faster with them; settings, card and network file;
keys only when asked. Never the journal, nor its id, nor the mark of a validator that never signed: a memory that is put
back is older than what was signed since. Not the state, which is made of the blocks. So what is restored knows that it
does not know: its validator follows, asks the others what it may have signed, and votes above that.

    <backup>/  backup.json  node.toml  network.toml  member.toml  segments/*.seg
               [inherited/ of a network that goes on from another]  [keys/node.key  keys/voting.key]

`taking` makes one, `restoring` makes a node of it. May import config, store, limits; is used by `cli`.
"""
