"""The specification's lists are the code's lists (L-2, L-4)."""

from __future__ import annotations

from pathlib import Path

from protocol.codec import encode
from protocol.consensus.statements import Nullified
from protocol.crypto.contexts import Context, Domain

TEXT = (Path(__file__).parents[2] / "protocol/codec/SPECIFICATION.md").read_text(encoding="utf-8")


def test_every_domain_and_context_is_specified() -> None:
    """L-2, L-4: another language finds each tag in the text, under its name; no other domain is in the table."""
    for domain in Domain:
        short = domain.value.decode().rstrip("\x00").rpartition("/")[2]
        assert domain.name in TEXT
        assert f"{short}\\0`" in TEXT
    for context in Context:
        short = context.value.decode().rstrip("\x00").rpartition("/")[2]
        assert f"{short}\\0`" in TEXT
    rows = TEXT.partition("| domain |")[2].partition("\n\n")[0].splitlines()[2:]
    named = {name.strip() for row in rows for name in row.split("|")[1].split(",")}
    assert named == set(Domain.__members__)


def test_the_example_is_right() -> None:
    """L-1: the bytes in section 1."""
    assert f"`{encode(Nullified(1, 2)).hex()}`" in TEXT
