"""Published Noise vectors (the JSON of cacophony and snow), both sides played by our `Handshake`.

The product uses XX alone. The other interactive patterns without pre-shared keys stand here as data: they run
through the same code, so their vectors test it too. One-way, deferred and pre-shared-key patterns, and other
curves, ciphers and hashes, are not ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from protocol.crypto.noise import XX, CipherState, Handshake, Pattern
from tests.vectors.outcome import NotOurs, require

_NONE_KNOWN = {
    "NN": (("e",), ("e", "ee")),
    "NX": (("e",), ("e", "ee", "s", "es")),
    "XN": (("e",), ("e", "ee"), ("s", "se")),
    "IN": (("e", "s"), ("e", "ee", "se")),
    "IX": (("e", "s"), ("e", "ee", "se", "s", "es")),
}
_RESPONDER_KNOWN = {
    "NK": (("e", "es"), ("e", "ee")),
    "XK": (("e", "es"), ("e", "ee"), ("s", "se")),
    "IK": (("e", "es", "s", "ss"), ("e", "ee", "se")),
}
_INITIATOR_KNOWN = {
    "KN": (("e",), ("e", "ee", "se")),
    "KX": (("e",), ("e", "ee", "se", "s", "es")),
}
_BOTH_KNOWN = {
    "KK": (("e", "es", "ss"), ("e", "ee", "se")),
}

PATTERNS: Mapping[str, Pattern] = {
    "XX": XX,
    **{name: Pattern(name, messages) for name, messages in _NONE_KNOWN.items()},  # type: ignore[arg-type]
    **{
        name: Pattern(name, messages, responder_static_known=True)  # type: ignore[arg-type]
        for name, messages in _RESPONDER_KNOWN.items()
    },
    **{
        name: Pattern(name, messages, initiator_static_known=True)  # type: ignore[arg-type]
        for name, messages in _INITIATOR_KNOWN.items()
    },
    **{
        name: Pattern(name, messages, initiator_static_known=True, responder_static_known=True)  # type: ignore[arg-type]
        for name, messages in _BOTH_KNOWN.items()
    },
}

_SUITE = "25519_ChaChaPoly_SHA256"


def recognises(content: Any) -> bool:
    """Whether `content` is a file of this format."""
    vectors = content.get("vectors") if isinstance(content, dict) else None
    return isinstance(vectors, list) and all(isinstance(v, dict) and "protocol_name" in v for v in vectors)


def cases(content: Any) -> Iterator[tuple[str, Any]]:
    """Name and content of each case."""
    for number, vector in enumerate(content["vectors"]):
        yield f"{vector['protocol_name']} #{number}", vector


def check(vector: Mapping[str, Any]) -> None:
    """Play one vector. Raises NotOurs or Disagreement."""
    _, name, suite = vector["protocol_name"].split("_", 2)
    if suite != _SUITE or name not in PATTERNS:
        raise NotOurs(vector["protocol_name"])
    pattern = PATTERNS[name]
    sides = _side(vector, "init", pattern), _side(vector, "resp", pattern)
    ciphers: list[tuple[CipherState, CipherState]] = []
    for number, message in enumerate(vector["messages"]):
        payload, published = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        writer, reader = number % 2, 1 - number % 2
        if number < len(pattern.messages):
            require(sides[writer].write(payload) == published, f"message {number}: written otherwise")
            require(sides[reader].read(published) == payload, f"message {number}: read otherwise")
            require(sides[0].transcript == sides[1].transcript, f"message {number}: the two transcripts differ")
        else:
            if not ciphers:
                ciphers = [_finish(vector, side) for side in sides]
            require(ciphers[writer][0].encrypt(payload) == published, f"message {number}: encrypted otherwise")
            require(ciphers[reader][1].decrypt(published) == payload, f"message {number}: decrypted otherwise")
    require(bool(ciphers), "the vector has no transport messages")


def _side(vector: Mapping[str, Any], role: str, pattern: Pattern) -> Handshake:
    def octets(key: str) -> bytes | None:
        text = vector.get(f"{role}_{key}")
        return None if text is None else bytes.fromhex(text)

    return Handshake(
        role == "init",
        octets("prologue") or b"",
        octets("static") or bytes(32),  # a side without one never uses it
        octets("ephemeral") or bytes(32),
        pattern=pattern,
        remote_static=octets("remote_static"),
    )


def _finish(vector: Mapping[str, Any], side: Handshake) -> tuple[CipherState, CipherState]:
    require(side.finished, "the handshake is not finished")
    published = vector.get("handshake_hash")
    require(published is None or side.handshake_hash.hex() == published, "another handshake hash")
    return side.split()
