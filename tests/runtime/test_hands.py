"""What comes back from the workers, also when nothing does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from daemon import limits
from daemon.runtime.evidence import keep_evidence
from daemon.runtime.hands import NodeHands
from daemon.runtime.inbox import Inbox
from daemon.runtime.workers.kinds import CheckKind, Urgency
from protocol.codec import encode
from protocol.consensus.statements import VoteKind
from protocol.errors import INTERNAL_ERROR
from protocol.node.interface import (
    BatchChecked,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    EnvelopesChecked,
    Note,
    Refusal,
    SignatureItem,
    SignaturesChecked,
)
from protocol.proofs.equivocation import verify_equivocation
from tests.ledger.world import key
from tests.proofs.test_equivocation import GENESIS, NETWORK, vote
from tests.runtime.nodes import lines


class DeadWorkers:
    """Every check fails: the workers died of it twice."""

    waiting_count = 0

    def ask(self, urgency: Urgency, kind: CheckKind, content: Any, done: Callable[[Any], None]) -> None:
        done(None)


def hands(nursery: trio.Nursery, inbox: Inbox, **more: Any) -> NodeHands:
    nothing = cast("Any", None)
    return NodeHands(
        nursery=nursery,
        inbox=inbox,
        network=nothing,
        verifiers=cast("Any", DeadWorkers()),
        segments=nothing,
        finals=nothing,
        service=nothing,
        lines=lines(),
        **more,
    )


async def test_a_check_that_fails_for_good_leaves_no_job_open(nursery: trio.Nursery) -> None:
    """Envelopes and batches are refused as our own failure; what consensus waits for is checked on the loop."""
    inbox = Inbox()
    those = hands(nursery, inbox)
    signed = SignatureItem(key(1).public, b"words", bytes(64))
    those.begin(CheckBatch(1, b"deadly"))
    those.begin(CheckEnvelopes(2, (b"a", b"b")))
    those.begin(CheckSignatures(3, (signed,) * 10))
    answers = {type(item): item for item in iter(inbox.pop, None)}
    batch, envelopes = answers[BatchChecked], answers[EnvelopesChecked]
    assert isinstance(batch, BatchChecked)
    assert batch.job == 1
    assert isinstance(batch.verdict, Refusal)
    assert batch.verdict.code == INTERNAL_ERROR
    assert isinstance(envelopes, EnvelopesChecked)
    assert [isinstance(one, Refusal) and one.code for one in envelopes.verdicts] == [INTERNAL_ERROR] * 2
    assert answers[SignaturesChecked] == SignaturesChecked(3, (False,) * 10)


class Judging:
    """A judge that counts, or that fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked = 0
        self.fault = fault

    def now(self, kind: int, content: Any) -> Any:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        refusal = Refusal("code", "words")
        return refusal if kind == CheckKind.BATCH else (refusal,) * len(content)


class Asked(DeadWorkers):
    """Workers that never answer."""

    def __init__(self) -> None:
        self.kinds: list[CheckKind] = []

    def ask(self, urgency: Urgency, kind: CheckKind, content: Any, done: Callable[[Any], None]) -> None:
        self.kinds.append(kind)


async def test_what_is_small_is_judged_here_while_little_waits(nursery: trio.Nursery) -> None:
    inbox, judge, workers = Inbox(), Judging(), Asked()
    those = hands(nursery, inbox, judge=judge)
    those._verifiers = cast("Any", workers)
    those.begin(CheckBatch(1, b"small"))
    those.begin(CheckEnvelopes(2, (b"a", b"b")))
    assert (judge.asked, workers.kinds) == (2, [])
    refusal = Refusal("code", "words")
    assert list(iter(inbox.pop, None)) == [BatchChecked(1, refusal), EnvelopesChecked(2, (refusal, refusal))]
    those.begin(CheckBatch(3, b"x" * (limits.CHECK_HERE_BYTES + 1)))
    workers.waiting_count = 1
    those.begin(CheckBatch(4, b"small"))
    workers.waiting_count = 0
    for _ in range(limits.CHECK_HERE_INBOX_MAX + 1):
        inbox.put_nowait(SignaturesChecked(0, ()))
    those.begin(CheckEnvelopes(5, (b"a",)))
    assert (judge.asked, workers.kinds) == (2, [CheckKind.BATCH, CheckKind.BATCH, CheckKind.ENVELOPES])


async def test_what_fails_here_goes_to_a_worker(nursery: trio.Nursery) -> None:
    inbox, workers = Inbox(), Asked()
    those = hands(nursery, inbox, judge=Judging(RecursionError()))
    those._verifiers = cast("Any", workers)
    those.begin(CheckBatch(1, b"deadly"))
    assert workers.kinds == [CheckKind.BATCH]
    assert inbox.pop() is None


def proven(view: int, payloads: tuple[bytes, bytes] = (b"1" * 32, b"2" * 32)) -> Note:
    """Two finalizes of one view, as the node notes them."""
    first, second = (vote(VoteKind.FINALIZE, payload, view=view) for payload in payloads)
    public = key(300).public
    return Note("equivocation", {"validator": public, "view": view, "first": encode(first), "second": encode(second)})


def test_evidence_is_kept_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-17: in a form that a third party can check; nobody fills the disk with it."""
    path = keep_evidence(tmp_path, NETWORK, proven(7))
    assert path is not None
    verified = verify_equivocation(GENESIS, path.read_bytes())
    assert (verified.first.view, verified.voting_key) == (7, GENESIS.validators[1].voting_key)
    assert keep_evidence(tmp_path, NETWORK, proven(7, (b"2" * 32, b"1" * 32))) is None, "the same"
    monkeypatch.setattr(limits, "EVIDENCE_FILES_MAX", 2)
    assert keep_evidence(tmp_path, NETWORK, proven(8)) is not None
    assert keep_evidence(tmp_path, NETWORK, proven(9)) is None
    assert len(list((tmp_path / "evidence").iterdir())) == 2


async def test_a_note_with_two_statements_is_kept_beside_the_nodes_work(tmp_path: Path) -> None:
    kept: list[Note] = []

    def refuses(note: Note) -> None:
        kept.append(note)
        raise OSError("no room")

    note = proven(7)
    for evidence in (kept.append, refuses):
        async with trio.open_nursery() as nursery:
            those = hands(nursery, Inbox(), evidence=evidence)
            those.begin(note)
            those.begin(Note("sync_begins", {"height": 1}))
    assert kept == [note, note], "and a disk that refuses is not the node's end"
