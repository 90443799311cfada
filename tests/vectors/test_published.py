"""Published vectors agree, and the runner tells a disagreement from an agreement (L-3, L-21, L-29)."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from protocol.crypto import log
from tests.crypto.edwards import BASE, LOW_ORDER, add, encoded, multiple, order_scalar, sign_unusually
from tests.vectors import ed25519
from tests.vectors.__main__ import main, run_file

HERE = Path(__file__).parent


def test_carried_noise_vectors_agree() -> None:
    """L-29: official vectors pass; XX is ours, IK and KK run through the same code."""
    form, tally = run_file(HERE / "noise_cacophony.json")
    assert (form, tally.agree, tally.not_ours, tally.disagreements) == ("Noise", 3, 0, [])


def test_carried_wycheproof_vectors_agree() -> None:
    """L-3: all 151 verdicts."""
    form, tally = run_file(HERE / "ed25519_wycheproof.json")
    assert (form, tally.agree, tally.not_ours, tally.disagreements) == ("Ed25519, Wycheproof", 151, 0, [])


def write(path: Path, content: Any) -> str:
    """Store a vector file; its name."""
    path.write_text(json.dumps(content))
    return str(path)


def outcome(path: str) -> tuple[str, int, int, int]:
    """Format, agreements, not ours, disagreements."""
    form, tally = run_file(Path(path))
    return form, tally.agree, tally.not_ours, len(tally.disagreements)


@pytest.mark.parametrize("place", ["payload", "ciphertext"])
def test_an_altered_noise_vector_disagrees(tmp_path: Path, place: str) -> None:
    """L-29: in any message, handshake or transport, and in the handshake hash."""
    content = json.loads((HERE / "noise_cacophony.json").read_text())
    vector = next(v for v in content["vectors"] if "_XX_" in v["protocol_name"])
    for message in vector["messages"]:
        good = message[place]
        message[place] = good[:-2] + f"{int(good[-2:], 16) ^ 1:02x}"
        assert outcome(write(tmp_path / "v.json", {"vectors": [vector]})) == ("Noise", 0, 0, 1)
        message[place] = good
    assert outcome(write(tmp_path / "v.json", {"vectors": [vector]})) == ("Noise", 1, 0, 0)
    vector["handshake_hash"] = "00" * 32
    assert outcome(write(tmp_path / "v.json", {"vectors": [vector]})) == ("Noise", 0, 0, 1)


def test_other_noise_protocols_are_not_ours(tmp_path: Path) -> None:
    """L-29: other ciphers, curves, hashes, pre-shared keys, one-way and deferred patterns are counted apart."""
    names = [
        "Noise_XX_25519_AESGCM_SHA256",
        "Noise_XX_448_ChaChaPoly_SHA256",
        "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        "Noise_XXpsk3_25519_ChaChaPoly_SHA256",
        "Noise_N_25519_ChaChaPoly_SHA256",
        "Noise_X1X1_25519_ChaChaPoly_SHA256",
    ]
    content = {"vectors": [{"protocol_name": name, "messages": []} for name in names]}
    assert outcome(write(tmp_path / "v.txt", content)) == ("Noise", 0, 6, 0)


def test_both_wycheproof_schemas_are_read(tmp_path: Path) -> None:
    """L-3: the key stands under `publicKey` in version 1 and under `key` in version 0."""
    content = json.loads((HERE / "ed25519_wycheproof.json").read_text())
    content["schema"] = "eddsa_verify_schema.json"
    for group in content["testGroups"]:
        group["key"] = group.pop("publicKey")
    assert outcome(write(tmp_path / "v0.json", content)) == ("Ed25519, Wycheproof", 151, 0, 0)
    for group in content["testGroups"]:
        for case in group["tests"]:
            case["result"] = "invalid" if case["result"] == "valid" else "valid"
    assert outcome(write(tmp_path / "v0.json", content)) == ("Ed25519, Wycheproof", 0, 0, 151)
    for group in content["testGroups"]:
        group["key"]["curve"] = "edwards448"
    assert outcome(write(tmp_path / "v0.json", content)) == ("Ed25519, Wycheproof", 0, 151, 0)


def test_edge_cases_in_cctv_form(tmp_path: Path) -> None:
    """L-3: cases made here, in CCTV's form: one without flags, then one for each flag that can stand alone."""
    secret = 0x1234567890ABCDEF
    mixed_key = encoded(add(multiple(secret, BASE), LOW_ORDER[4]))
    low_order_key = encoded(LOW_ORDER[2])

    def case(flags: list[str] | None, key: bytes | None = None, residue: int = 0, text: str = "text") -> dict[str, Any]:
        public, signature = sign_unusually(secret, text.encode(), key=key, low_order_part=LOW_ORDER[residue])
        return {"number": 0, "key": public.hex(), "sig": signature.hex(), "msg": text, "flags": flags}

    cases = [
        case(None),
        case([], text="another text"),
        case(["low_order_component_R", "low_order_residue"], residue=1),
        case(["low_order_component_A", "low_order_residue"], key=mixed_key),
        case(["low_order_A", "low_order_component_A", "low_order_residue"], key=low_order_key),
    ]
    assert outcome(write(tmp_path / "c.json", cases)) == ("Ed25519, CCTV", 5, 0, 0)
    for one in cases:
        one["flags"] = [] if one["flags"] else ["low_order_R"]
    assert outcome(write(tmp_path / "c.json", cases)) == ("Ed25519, CCTV", 0, 0, 5)
    for one in cases:
        one["flags"] = ["flag_of_another_year"]
    assert outcome(write(tmp_path / "c.json", cases)) == ("Ed25519, CCTV", 0, 5, 0)
    assert len(ed25519.INVALID_BY_L3) == 8
    assert multiple(order_scalar(), BASE) == LOW_ORDER[0], "the arithmetic that made these cases"


def _inclusion(index: int, size: int, *, refused: bool) -> dict[str, Any]:
    leaves = [log.leaf_hash(bytes([i])) for i in range(7)]
    _, nodes = log.append(lambda level, i: None, 0, leaves)

    def get(level: int, at: int) -> bytes | None:
        return nodes.get((level, at))

    path = [b64encode(part).decode() for part in log.inclusion_proof(get, index, size)]
    root, leaf = b64encode(log.root(get, size)).decode(), b64encode(leaves[index]).decode()
    return {
        "leafIdx": index, "treeSize": size, "root": root, "leafHash": leaf, "proof": path or None,
        "desc": "made here", "wantErr": refused,
    }  # fmt: skip


def test_log_proofs_in_transparency_dev_form(tmp_path: Path) -> None:
    """L-21: one file a case; both verdicts; proofs of subtrees are not ours."""
    good, bad = write(tmp_path / "a.json", _inclusion(4, 7, refused=False)), _inclusion(4, 7, refused=True)
    assert outcome(good) == ("RFC 6962 inclusion", 1, 0, 0)
    assert outcome(write(tmp_path / "b.json", bad)) == ("RFC 6962 inclusion", 0, 0, 1)
    assert outcome(write(tmp_path / "b.json", {**bad, "leafIdx": 3})) == ("RFC 6962 inclusion", 1, 0, 0)
    assert outcome(write(tmp_path / "b.json", _inclusion(0, 1, refused=False))) == ("RFC 6962 inclusion", 1, 0, 0)
    root = b64encode(log.leaf_hash(b"0")).decode()
    same = {"size1": 1, "size2": 1, "root1": root, "root2": root, "proof": None, "desc": "", "wantErr": False}
    assert outcome(write(tmp_path / "c.json", same)) == ("RFC 6962 consistency", 1, 0, 0)
    assert outcome(write(tmp_path / "c.json", {**same, "size1": 0})) == ("RFC 6962 consistency", 0, 0, 1)
    subtree = {"start": 0, "end": 1, "size": 8, "root1": root, "root2": root, "proof": [], "wantErr": True}
    assert outcome(write(tmp_path / "d.json", subtree)) == ("RFC 6962 consistency", 0, 1, 0)
    inside = {"leafIdx": 0, "start": 0, "end": 1, "root": root, "leafHash": root, "proof": None, "wantErr": False}
    assert outcome(write(tmp_path / "e.json", inside)) == ("RFC 6962 inclusion", 0, 1, 0)


def test_a_case_that_makes_us_fail_disagrees(tmp_path: Path) -> None:
    """A case with a missing field is a disagreement with its reason; the others still run."""
    case = _inclusion(4, 7, refused=False)
    del case["root"]
    path = write(tmp_path / "a.json", case)
    assert outcome(path) == ("RFC 6962 inclusion", 0, 0, 1)


def test_the_command_counts_and_its_exit_code_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 if all agrees, 1 after a disagreement, 2 for what is not read; a folder is all its files."""
    folder = tmp_path / "proofs"
    (folder / "deep").mkdir(parents=True)
    write(folder / "a.json", _inclusion(4, 7, refused=False))
    write(folder / "deep" / "b.json", _inclusion(5, 6, refused=False))
    carried = str(HERE / "noise_cacophony.json")
    assert main([carried, str(folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == [carried, "Noise", "3", "0", "0"]
    assert lines[2] == [str(folder), "RFC", "6962", "inclusion", "2", "0", "0"]
    write(folder / "c.json", _inclusion(4, 7, refused=True))
    assert main([carried, str(folder)]) == 1
    assert f"disagrees: {folder / 'c.json'}: made here: published refused, here accepted" in capsys.readouterr().out
    for unread in (str(tmp_path / "nowhere"), write(tmp_path / "x.json", {"other": 1}), str(HERE / "README.md")):
        assert main([carried, unread]) == 2
        assert "not read" in capsys.readouterr().err
    assert main([]) == 2
