"""Rules version 1 have not changed since they were pinned (L-19, L-23)."""

from __future__ import annotations

import pytest

from tests.apps import pinned
from tests.apps.test_refusals import CASES


def test_every_case_is_pinned() -> None:
    """Add missing ones with `python -m tests.apps.pinned --write`."""
    assert set(pinned.load()) == {".".join(case) for case in CASES}


@pytest.mark.parametrize("case", list(CASES), ids=".".join)
def test_words_and_state_are_as_they_were(case: tuple[str, str, str]) -> None:
    assert pinned.computed(case) == pinned.load()[".".join(case)]
