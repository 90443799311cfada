"""Every record kind has golden bytes, and they have not changed (L-1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from protocol.codec import decode, encode, kind_of
from tests.vectors import golden

VECTORS = golden.load()


@pytest.fixture(scope="module", name="records")
def fixture_records() -> dict[int, type[Any]]:
    """All record kinds of `protocol`."""
    return golden.all_records()


def test_every_kind_has_a_vector_and_every_vector_a_kind(records: dict[int, type[Any]]) -> None:
    """L-1: add missing ones with `python -m tests.vectors.golden --write`."""
    derived = {kind: golden.vector_of(kind, cls) for kind, cls in records.items()}
    assert golden.differences(VECTORS, derived) == {}
    assert len(records) >= 12, "the walk finds the records of all rooms"


@pytest.mark.parametrize("kind", sorted(VECTORS))
@pytest.mark.parametrize("form", ["full", "least"])
def test_stored_bytes_decode_and_encode_to_themselves(records: dict[int, type[Any]], kind: int, form: str) -> None:
    """L-1: the bytes, as another program would read them: an array of kind, version and the fields."""
    data = bytes.fromhex(VECTORS[kind][form])
    value = decode(records[kind], data)
    assert encode(value) == data
    assert kind_of(data) == kind
    items = msgpack.unpackb(data)
    assert items[0] == kind
    assert len(items) == 2 + len(VECTORS[kind]["fields"])


def _vector(name: str, full: str) -> dict[str, Any]:
    return {"kind": 0, "name": name, "fields": [], "full": full, "least": full}


def test_the_command_adds_but_does_not_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """L-1: a changed or vanished record is refused until its kind is named."""
    path = tmp_path / "golden.json"
    one, two, other = (
        {**_vector(n, d), "kind": k} for k, n, d in ((1, "One", "01"), (2, "Two", "02"), (2, "Two", "ff"))
    )
    # Nothing stored: said, not written.
    assert golden.main([], path, {1: one}) == 1
    assert not path.exists()
    # Missing ones are added.
    assert golden.main(["--write"], path, {1: one, 2: two}) == 0
    assert golden.main([], path, {1: one, 2: two}) == 0
    before = path.read_text()
    capsys.readouterr()
    # A changed one is refused and named.
    assert golden.main(["--write"], path, {1: one, 2: other}) == 1
    assert "Two differs from its vector in full, least" in capsys.readouterr().out
    assert golden.main(["--write", "--change", "1"], path, {1: one, 2: other}) == 1
    assert path.read_text() == before
    # A vanished one too.
    assert golden.main(["--write"], path, {1: one}) == 1
    assert path.read_text() == before
    # Named, they are changed and removed.
    assert golden.main(["--write", "--change", "2"], path, {1: one, 2: other}) == 0
    assert golden.load(path) == {1: one, 2: other}
    assert golden.main(["--write", "--change", "2"], path, {1: one}) == 0
    assert list(golden.load(path)) == [1]
    assert json.loads(path.read_text())["kinds"] == [one]
