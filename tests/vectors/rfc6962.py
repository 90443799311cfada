"""Published RFC 6962 proofs (transparency-dev/merkle's testdata): one case a file, `wantErr` its verdict."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from protocol.crypto.log import verify_consistency, verify_inclusion
from tests.vectors.outcome import NotOurs, require


def recognises_inclusion(content: Any) -> bool:
    """Whether `content` is an inclusion proof, in a log or (not ours) in a subtree."""
    return isinstance(content, dict) and {"leafIdx", "wantErr"} <= content.keys()


def recognises_consistency(content: Any) -> bool:
    """Whether `content` is a consistency proof, of a log or (not ours) of a subtree."""
    return isinstance(content, dict) and {"root1", "root2", "wantErr"} <= content.keys()


def cases(content: Any) -> Iterator[tuple[str, Any]]:
    """The one case of a file."""
    yield content.get("desc", ""), content


def check_inclusion(case: Mapping[str, Any]) -> None:
    """Judge one inclusion proof. Raises NotOurs or Disagreement."""
    if "treeSize" not in case:
        raise NotOurs("inclusion in a subtree, which RFC 6962 does not have")
    leaf, root, path = _octets(case["leafHash"]), _octets(case["root"]), _path(case)
    _compare(case, verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path, root))


def check_consistency(case: Mapping[str, Any]) -> None:
    """Judge one consistency proof. Raises NotOurs or Disagreement."""
    if "size1" not in case or "size2" not in case:
        raise NotOurs("consistency of a subtree, which RFC 6962 does not have")
    first_root, second_root = _octets(case["root1"]), _octets(case["root2"])
    _compare(case, verify_consistency(case["size1"], case["size2"], first_root, second_root, _path(case)))


def _compare(case: Mapping[str, Any], verdict: bool) -> None:
    words = "refused" if case["wantErr"] else "accepted"
    require(verdict != case["wantErr"], f"published {words}, here {'accepted' if verdict else 'refused'}")


def _octets(text: str | None) -> bytes:
    return b64decode(text or "", validate=True)


def _path(case: Mapping[str, Any]) -> tuple[bytes, ...]:
    return tuple(_octets(text) for text in case["proof"] or ())
