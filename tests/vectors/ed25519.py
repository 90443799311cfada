"""Published Ed25519 verification cases against L-3: Wycheproof's verdicts, and CCTV's edge cases.

Wycheproof says of each case whether it is valid; nothing in it contradicts L-3.

CCTV's cases all hold in the most lenient reading (ZIP 215, except those with `reencoded_k`), and each carries
flags for what is unusual about it. Its authors leave the verdict to the protocol; L-3's follows from the flags:

* `low_order_A`, `non_canonical_A`, `low_order_component_A`: A is no canonical point of the prime-order subgroup:
  invalid, whatever the equation says;
* `low_order_residue`: the equation holds only when multiplied by the cofactor: invalid;
* `low_order_R`, `low_order_component_R`: with an A of prime order, [S]B - [h]A has prime order or is the
  identity; an R of another order equals no encoding of it, and the identity is excluded: invalid;
* `non_canonical_R`: equals no encoding that anything computes: invalid;
* `reencoded_k`: comes only with a non-canonical A or R, and its h is not that of the bytes sent: invalid.

So a case is valid exactly if it has none of these flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from protocol.crypto.signing import verify_message
from tests.vectors.outcome import NotOurs, require

INVALID_BY_L3 = frozenset(
    {
        "low_order_A",
        "low_order_component_A",
        "low_order_component_R",
        "low_order_R",
        "low_order_residue",
        "non_canonical_A",
        "non_canonical_R",
        "reencoded_k",
    }
)


def recognises_wycheproof(content: Any) -> bool:
    """Whether `content` is a file of Wycheproof's eddsa_verify_schema, v0 or v1."""
    return isinstance(content, dict) and "testGroups" in content and "eddsa_verify" in str(content.get("schema"))


def wycheproof_cases(content: Any) -> Iterator[tuple[str, Any]]:
    """Name and (public key, case) of each case; the key stands under `publicKey` (v1) or `key` (v0)."""
    for group in content["testGroups"]:
        key = group.get("publicKey") or group["key"]
        for case in group["tests"]:
            yield f"tcId {case['tcId']} {case.get('comment', '')}".strip(), (key, case)


def check_wycheproof(named: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
    """Judge one case. Raises NotOurs or Disagreement."""
    key, case = named
    if key.get("curve", "edwards25519") != "edwards25519":
        raise NotOurs(f"curve {key['curve']}")
    if case["result"] not in ("valid", "invalid"):
        raise NotOurs(f"result {case['result']!r} leaves the verdict open")
    public, message, signature = (bytes.fromhex(text) for text in (key["pk"], case["msg"], case["sig"]))
    verdict = verify_message(public, message, signature)
    require(verdict == (case["result"] == "valid"), f"published {case['result']}, here {_word(verdict)}")


def recognises_cctv(content: Any) -> bool:
    """Whether `content` is CCTV's list of edge cases."""
    fields = {"key", "sig", "msg", "flags"}
    return (
        isinstance(content, list) and bool(content) and all(isinstance(c, dict) and fields <= c.keys() for c in content)
    )


def cctv_cases(content: Any) -> Iterator[tuple[str, Any]]:
    """Name and content of each case."""
    for case in content:
        yield f"number {case.get('number', '?')} {' '.join(case['flags'] or ['(no flags)'])}", case


def check_cctv(case: Mapping[str, Any]) -> None:
    """Judge one case; its message is text, not hex. Raises NotOurs or Disagreement."""
    flags = set(case["flags"] or ())
    unknown = flags - INVALID_BY_L3
    if unknown:
        raise NotOurs(f"flags {sorted(unknown)}, of which L-3's verdict is not worked out")
    verdict = verify_message(bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
    require(verdict == (not flags), f"L-3 says {_word(not flags)}, here {_word(verdict)}")


def _word(verdict: bool) -> str:
    return "valid" if verdict else "invalid"
