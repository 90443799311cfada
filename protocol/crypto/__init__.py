"""Crypto: hashes, signatures, the two Merkle trees and the channel's handshake, all as pure functions of bytes.

Primitives are libsodium's (through pynacl) and hashlib's; what is ours is the rule which of their answers counts:
`signing` says which Ed25519 signatures are valid (L-3), `contexts` what is hashed and signed as what (L-2, L-4).
`log` is the append-only tree of RFC 6962, `trie` the radix-16 tree over the state (L-20), `noise` the handshake of
the channels between nodes (L-29). No randomness: whoever needs keys brings them.

May import: codec, errors, limits, types. Public names: those in `__all__`; `log`, `noise` and `trie` are used as
modules, since both trees have a `root` and a `verify_inclusion`. Exact bytes: `protocol/codec/SPECIFICATION.md`.
"""

from protocol.crypto import log, noise, trie
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import HASH_BYTES, digest
from protocol.crypto.signing import SigningKey, is_valid_key, signing_message, verify, verify_message

__all__ = [
    "HASH_BYTES",
    "Context",
    "Domain",
    "SigningKey",
    "digest",
    "is_valid_key",
    "log",
    "noise",
    "signing_message",
    "trie",
    "verify",
    "verify_message",
]
