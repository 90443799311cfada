"""The verify worker: a process that checks signatures, envelopes and batches (verifiers.py is its other side).

Admission (L-7) is judged here too, with a reader of the state of its own: what it needs of an envelope is open here
already, and the node's loop, through which everything has to go, is spared decoding it once more. The price is that a
block may be executed between the verdict and its use. That is harmless: execution judges again, and an envelope that
became final meanwhile would be skipped as a duplicate.

The node has a `Judge` of its own besides, for what is too small to be worth the way to another process (hands.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from daemon.runtime.workers.checks import Admit, Batches, Envelopes, check_batch, check_envelopes, check_signatures
from daemon.runtime.workers.child import Job, serve, start
from daemon.runtime.workers.kinds import CheckKind, VerifyNeeds
from daemon.runtime.workers.results import BatchVerdict, Verdict, pack_batch_verdict, pack_verdict
from daemon.store.tables import StateStore
from protocol.apps.registry import rules_at
from protocol.errors import BrokenInvariant
from protocol.ledger.admission import admit, check_operations
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.succession import decode_genesis


class Judge:
    """Judges for one network, at the newest executed state. member: whose node this is if it seals batches."""

    def __init__(self, genesis: Genesis, member: str | None, state: StateStore) -> None:
        self._genesis = genesis
        self._network_id = network_id(genesis)
        self._member = member
        self._state = state

    def now(self, kind: CheckKind, content: Any) -> tuple[Verdict, ...] | BatchVerdict:
        """The verdicts on envelopes, or the one on a batch, in one go."""
        job: Envelopes | Batches = self.envelopes(content) if kind is CheckKind.ENVELOPES else self.batch(content)
        while True:
            try:
                next(job)
            except StopIteration as end:
                verdict: tuple[Verdict, ...] | BatchVerdict = end.value
                return verdict

    def envelopes(self, envelopes: Sequence[bytes]) -> Envelopes:
        """Each envelope's verdict, in steps."""
        return check_envelopes(envelopes, self._network_id, self.looking)

    def batch(self, data: bytes) -> Batches:
        """A batch's verdict, in steps."""
        return check_batch(data, self._network_id)

    @contextmanager
    def looking(self) -> Iterator[Admit]:
        """Gives what raises Refused unless an envelope would run in a block made now, at one view of the state."""
        with self._state.reader() as reader:
            rules = rules_at(self._genesis, (reader.height or 0) + 1)

            def judge(parsed: ParsedEnvelope) -> None:
                admit(reader, parsed, time.time_ns() // 1_000_000, self._genesis.parameters, self._member)
                check_operations(rules, parsed)

            yield judge


def begin(judge: Judge, kind: int, content: Any) -> Job:
    """The job for one request, with an answer for the pipe."""
    match kind:
        case CheckKind.SIGNATURES:
            return (yield from check_signatures(content))
        case CheckKind.ENVELOPES:
            verdicts = yield from judge.envelopes(content)
            return [pack_verdict(verdict) for verdict in verdicts]
        case CheckKind.BATCH:
            return pack_batch_verdict((yield from judge.batch(content)))
    raise BrokenInvariant(f"a verify worker was asked for kind {kind}")


def main() -> None:
    """Serve the node that started this process."""
    pipe, raw = start("verify")
    needs = VerifyNeeds(*raw)
    genesis = decode_genesis(needs.genesis)
    state = StateStore.open(Path(needs.state), network_id(genesis), writer=False)
    serve(pipe, partial(begin, Judge(genesis, needs.member, state)))


if __name__ == "__main__":
    main()
