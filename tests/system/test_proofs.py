"""A receipt goes to a stranger: exported by one command, verified by another that has network.toml and no network."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.system.machines import can_have_namespaces
from tests.system.network import Network
from tests.system.processes import NodeProcess, papilio, papilio_done

FAILED, UNVERIFIED = 1, 5
ALTERED = 6
ALTERED_LONG = 400


async def test_a_stranger_verifies_a_receipt_offline_and_no_altered_one(
    networks: Callable[..., Network], tmp_path: Path, is_long: bool
) -> None:
    network = networks(4)
    await network.start()
    document = tmp_path / "report.pdf"
    document.write_bytes(b"%PDF-1.7 a report")
    sent = _submit(network.nodes[0], document)
    assert sent.returncode == 0, sent.stderr
    receipt = _exported(network.nodes[3], sent, tmp_path / "receipt.proof")
    again = _submit(network.nodes[1], document, key=network.nodes[0])
    assert again.returncode == FAILED, "this account recorded it already"
    failure = _exported(network.nodes[2], again, tmp_path / "failure.proof")
    await network.stop()

    # Nothing but the file, the network's file and the document.
    stranger = _directory(tmp_path / "stranger", network.file, receipt, document)
    assert len(os.listdir(stranger)) == 3
    shown = _verify(stranger, "receipt.proof", "--document", "report.pdf")
    assert shown.returncode == 0, shown.stderr
    other = stranger / "other.pdf"
    other.write_bytes(b"%PDF-1.7 another")
    assert _verify(stranger, "receipt.proof", "--document", "other.pdf").returncode == UNVERIFIED

    # A refusal is proven as one.
    shutil.copy(failure, stranger)
    refused = _verify(stranger, "failure.proof", "--json")
    assert refused.returncode == FAILED, refused.stderr

    # Any byte changed: it proves nothing, and that is said in words.
    data, chance = receipt.read_bytes(), random.Random(7)
    count = ALTERED_LONG if is_long else ALTERED
    places = sorted({0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(count))})
    for place in places:
        altered = bytearray(data)
        altered[place] ^= 1 << chance.randrange(8)
        (stranger / "altered.proof").write_bytes(altered)
        done = _verify(stranger, "altered.proof")
        assert done.returncode == UNVERIFIED, f"byte {place} of {len(data)}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
    for size in (0, 1, len(data) - 1):
        (stranger / "altered.proof").write_bytes(data[:size])
        assert _verify(stranger, "altered.proof").returncode == UNVERIFIED
    (stranger / "altered.proof").write_bytes(data + b"\0")
    assert _verify(stranger, "altered.proof").returncode == UNVERIFIED

    # Another network with the same members believes nothing of it.
    elsewhere = _directory(tmp_path / "elsewhere", networks(4).file, receipt)
    assert _verify(elsewhere, "receipt.proof").returncode == UNVERIFIED


def _submit(node: NodeProcess, document: Path, key: NodeProcess | None = None) -> subprocess.CompletedProcess[str]:
    signer = (key or node).directory / "keys" / "account.key"
    options = ("--node", node.url, "--key", signer, "--json")
    return papilio("submit", "evidence", "record", "--digest-of", document, *options)


def _exported(node: NodeProcess, sent: subprocess.CompletedProcess[str], file: Path) -> Path:
    """The proof of what was sent, from another node."""
    told = json.loads(sent.stdout)
    transaction = told.get("error", told)["transaction"]
    papilio_done("proof", "get", transaction, "--out", file, "--node", node.url, "--timeout", 30)
    return file


def _directory(place: Path, *files: Path) -> Path:
    place.mkdir()
    for file in files:
        shutil.copy(file, place)
    return place


def _verify(directory: Path, file: str, *options: str) -> subprocess.CompletedProcess[str]:
    """With networking off where we may switch it off."""
    prefix = ("unshare", "--net") if can_have_namespaces() else ()
    return papilio("proof", "verify", file, *options, cwd=directory, prefix=prefix)
