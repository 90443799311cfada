"""The product's own ledger, as the workers of a run.

Judging a batch's form and signatures does not depend on the state, and all nodes of a run judge the same bytes:
so its result is remembered for the run. What depends on the state every node computes for itself: that is what
is tested.
"""

from __future__ import annotations

from protocol.apps.registry import rules_at
from protocol.codec import decode_once
from protocol.errors import BAD_SIGNATURE, Refused
from protocol.ledger.admission import admit, check_operations
from protocol.ledger.batch import batch_signature_items, parse_batch
from protocol.ledger.envelope import ParsedEnvelope, parse_envelope, signature_items
from protocol.ledger.execution import execute_block
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Executed, Header
from protocol.node.interface import Admitted, BatchAccepted, Fate, Outcome, Refusal, SignatureItem
from protocol.sim.services import Result
from protocol.sim.signatures import Scheme


class LedgerServices:
    """`Services` from `protocol.ledger`, with the run's signatures."""

    def __init__(self, genesis: Genesis, scheme: Scheme) -> None:
        self.genesis = genesis
        self.network_id = network_id(genesis)
        self.rules = rules_at(genesis, 1)
        self.verify = scheme.verify
        self._first = genesis_state(genesis, self.rules)
        self._batches: dict[bytes, BatchAccepted | Refusal] = {}

    def new_tables(self, genesis: Genesis) -> tuple[MemoryTables, Executed]:
        """The state before the first block, and its roots."""
        assert genesis == self.genesis, "services are of one network"
        tables = MemoryTables()
        tables.apply(self._first.writes)
        return tables, self._first.executed

    def check_signature(self, item: SignatureItem) -> bool:
        """L-3, or its stand-in."""
        return self.verify(item.public, item.message, item.signature)

    def check_envelopes(
        self, tables: MemoryTables, envelopes: tuple[bytes, ...], clock_ms: int, member: str | None
    ) -> tuple[Admitted | Refusal, ...]:
        """L-7, at the newest executed state."""
        return tuple([self._envelope(tables, data, clock_ms, member) for data in envelopes])

    def _envelope(self, tables: MemoryTables, data: bytes, clock_ms: int, member: str | None) -> Admitted | Refusal:
        try:
            parsed = parse_envelope(data, self.network_id)
        except Refused as fault:
            return Refusal(fault.code, fault.words)
        if not all(self.verify(*item) for item in signature_items(parsed)):
            return Refusal(BAD_SIGNATURE, "a signature does not verify")
        try:
            check_operations(self.rules, parsed)
            admit(tables, parsed, clock_ms, self.genesis.parameters, member)
        except Refused as fault:
            return Refusal(fault.code, fault.words, parsed.transaction)
        return _admitted(parsed)

    def check_batch(self, data: bytes) -> BatchAccepted | Refusal:
        """L-13."""
        verdict = self._batches.get(data)
        if verdict is None:
            verdict = self._batches[data] = self._batch(data)
        return verdict

    def _batch(self, data: bytes) -> BatchAccepted | Refusal:
        try:
            parsed = parse_batch(data, self.network_id)
        except Refused as fault:
            return Refusal(fault.code, fault.words)
        if not all(self.verify(*item) for item in batch_signature_items(parsed)):
            return Refusal(BAD_SIGNATURE, "a signature in the batch does not verify")
        envelopes = tuple([_admitted(envelope) for envelope in parsed.envelopes])
        return BatchAccepted(parsed.digest, parsed.author, parsed.expiry_height, envelopes)

    def execute(self, tables: MemoryTables, height: int, header: bytes, batches: tuple[bytes, ...]) -> Result:
        """L-19: pure; the caller applies the writes."""
        done = execute_block(
            self.network_id, self.genesis.parameters, self.rules, tables, decode_once(Header, header), batches
        )
        assert done.height == height, "blocks are executed in order"
        outcomes = tuple(
            [
                Outcome(o.transaction, o.account, o.id, Fate.FINAL if o.final else Fate.SKIPPED, o.code, o.log_index)
                for o in done.outcomes
            ]
        )
        return Result(done.writes, done.executed, outcomes, done.governed)


def _admitted(parsed: ParsedEnvelope) -> Admitted:
    body = parsed.body
    return Admitted(
        parsed.transaction, body.account, body.id, body.valid_until_ms, len(body.operations), len(parsed.signatures)
    )
