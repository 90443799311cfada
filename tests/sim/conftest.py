"""Runs make millions of objects and hardly a cycle: the collector looks seldom while they go on, as in a search."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from daemon.collector import RARELY, calm_collector


@pytest.fixture(scope="package", autouse=True)
def calm() -> Iterator[None]:
    """Until the last test of this room."""
    usual = gc.get_threshold()
    calm_collector(RARELY)
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()
