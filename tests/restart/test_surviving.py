"""Whatever moment a network stops at: survivors of blocking power keep everything that can be final (decision 0014)."""

from __future__ import annotations

from random import Random

import pytest

from protocol.restart import weighing
from protocol.restart.weighing import Weighed
from tests.restart.survivors import Stopped, kept_hashes, stopped, weighed
from tests.sim.named import SCENARIOS

RUNS = (("lossy", 2), ("seven", 0), ("power-cuts", 15), ("sites", 1), ("changes", 0), ("changes", 4))
"""In most of them something final is known to the lost alone, in the last two the validators have changed before."""
LONG = ("lossy", "seven", "power-cuts", "sites", "changes", "changes-without-memory")


def _stopped(name: str, seed: int, *, fewer: int = 0) -> Stopped:
    generator = Random(f"{name}/{seed}")
    return stopped(SCENARIOS[name], seed, generator.randrange(2_500, 7_000), generator, fewer=fewer)


def _lost(given: Stopped, result: Weighed) -> set[bytes]:
    return set(given.finals | given.may_be) - kept_hashes(given, result)


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_everything_that_can_be_final_is_kept(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is final at anyone, the lost included, and what the lost could still make final by themselves."""
    given = _stopped(name, seed)
    assert given.finals, "something was final"
    result = weighed(given, monkeypatch)
    assert result.certain
    assert not _lost(given, result)


def test_who_ignores_what_is_only_notarized_loses_what_was_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: to keep only what a survivor knows to be final. Something final is cut, and the check says so."""
    monkeypatch.setattr(weighing, "_kept", lambda base, *_: ((), base.view))
    given = _stopped("sites", 0)
    result = weighed(given, monkeypatch)
    assert set(given.finals) - kept_hashes(given, result), "final somewhere, and cut"


def test_survivors_of_less_than_blocking_power_say_what_cannot_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    given = _stopped("sites", 1, fewer=1)
    result = weighed(given, monkeypatch)
    assert result.counted < result.validators.blocking
    assert not result.blocking
    assert not result.certain


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_moments(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reports call it certain, it is; where they do not, they lack power, or a memory."""
    given = _stopped(name, seed)
    if not any(host.disk.blocks for host, _ in given.survivors):
        return
    result = weighed(given, monkeypatch)
    lost = _lost(given, result)
    assert not (result.certain and lost)
    if not result.certain:
        assert result.counted < result.validators.blocking or result.coming is not None or result.closes_unknown
