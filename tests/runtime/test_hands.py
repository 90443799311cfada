"""What comes back from the workers, also when nothing does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import trio

from daemon.runtime.hands import NodeHands
from daemon.runtime.inbox import Inbox
from daemon.runtime.workers.kinds import CheckKind, Urgency
from protocol.errors import INTERNAL_ERROR
from protocol.node.interface import (
    BatchChecked,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    EnvelopesChecked,
    Refusal,
    SignatureItem,
    SignaturesChecked,
)
from tests.ledger.world import key


class DeadWorkers:
    """Every check fails: the workers died of it twice."""

    def ask(self, urgency: Urgency, kind: CheckKind, content: Any, done: Callable[[Any], None]) -> None:
        done(None)


def hands(nursery: trio.Nursery, inbox: Inbox) -> NodeHands:
    nothing = cast("Any", None)
    return NodeHands(
        nursery=nursery,
        inbox=inbox,
        network=nothing,
        verifiers=cast("Any", DeadWorkers()),
        segments=nothing,
        finals=nothing,
        service=nothing,
        lines=nothing,
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
