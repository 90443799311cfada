"""One directory is made for all tests of this folder; each works on a copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.upkeep.check import Subject
from tests.upkeep.made import copied, make


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that is whole; not to be changed."""
    place = tmp_path_factory.mktemp("pattern") / "data"
    make(place)
    return place


@pytest.fixture
def fresh(pattern: Path, tmp_path: Path) -> Callable[[], Subject]:
    """Gives a new copy each time it is called."""
    made = iter(range(1_000_000))
    return lambda: copied(pattern, tmp_path / f"data{next(made)}")
