"""The carried data is what others published, byte for byte, and the wheel has it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from daemon.demo.data import DOCUMENTS, TRIPS

FOLDER = TRIPS.parent.parent


def digests() -> dict[str, str]:
    """Path to SHA-256, as published with the data."""
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def test_every_file_is_as_it_was_published() -> None:
    listed = digests()
    found = {str(file.relative_to(FOLDER)) for file in (*DOCUMENTS.iterdir(), *TRIPS.parent.iterdir())}
    assert found == set(listed)
    assert len(list(DOCUMENTS.glob("*.json"))) == 38
    for path, digest in listed.items():
        assert hashlib.sha256((FOLDER / path).read_bytes()).hexdigest() == digest, path


def test_the_licence_stands_beside_it() -> None:
    words = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Apache License 2.0" in words
    assert "NLOD" in words
    assert "independent test documents" in words


def test_git_leaves_the_bytes_alone() -> None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("no checkout of git")
    command = ["git", "check-attr", "text", "--", str(TRIPS.relative_to(root)), "daemon/demo/data/epcis/x.json"]
    said = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in said] == ["unset", "unset"]
