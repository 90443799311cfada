"""What members decide in a restart, where it can't be carried out (decision 0014)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.restart import planning
from protocol.errors import OperatorFault
from protocol.ledger.memory import MemoryTables
from tests.ledger.world import key, make_genesis


@pytest.mark.parametrize(("reported", "leaving"), [((), ()), ((1,), ("b",))])
def test_somebody_has_to_be_left_to_vote(
    monkeypatch: pytest.MonkeyPatch, reported: tuple[int, ...], leaving: tuple[str, ...]
) -> None:
    """Survivors of an epoch in which they were voted out have reports, and no validator."""
    present = tuple(SimpleNamespace(voting_key=key(at).public, member="ab"[at]) for at in range(2))
    monkeypatch.setattr(planning, "taking_part", lambda _reader: SimpleNamespace(validators=present))
    weighed = cast(Any, SimpleNamespace(witnesses=[SimpleNamespace(voting_key=key(at).public) for at in reported]))
    wishes = planning.Wishes((), 0, remove_members=leaving)
    with pytest.raises(OperatorFault, match="nobody would vote: bring in new ones"):
        planning._changes(make_genesis(1), MemoryTables(), weighed, wishes)
    stays = cast(Any, SimpleNamespace(witnesses=[SimpleNamespace(voting_key=present[0].voting_key)]))
    assert planning._changes(make_genesis(1), MemoryTables(), stays, wishes)
