"""The product's own ledger, as the workers of a run.

Judging a batch's form and signatures does not depend on the state, and all nodes of a run judge the same bytes: so its
result is remembered for the run. What depends on the state every node computes for itself: that is what is tested.
"""

from __future__ import annotations

from protocol.codec import decode
from protocol.errors import BAD_SIGNATURE, CONFLICT, DUPLICATE, EXPIRED, NOT_AUTHORISED, Refused
from protocol.ledger.accounts import authorised
from protocol.ledger.application import Application, make_rules
from protocol.ledger.batch import batch_signature_items, parse_batch
from protocol.ledger.envelope import ParsedEnvelope, parse_envelope, signature_items
from protocol.ledger.execution import execute_block
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import read_head, read_seen
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Executed, Header
from protocol.ledger.state import StateTransaction
from protocol.node.interface import Admitted, BatchAccepted, Fate, Outcome, Refusal, SignatureItem
from protocol.sim.services import Result
from protocol.sim.signatures import Scheme


class LedgerServices:
    """`Services` from `protocol.ledger`, with the run's signatures."""

    def __init__(self, genesis: Genesis, scheme: Scheme, applications: tuple[Application, ...] = ()) -> None:
        self.genesis = genesis
        self.network_id = network_id(genesis)
        self.rules = make_rules(1, applications)
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

    def check_envelopes(self, tables: MemoryTables, envelopes: tuple[bytes, ...]) -> tuple[Admitted | Refusal, ...]:
        """L-7, at the newest executed state."""
        return tuple([self._envelope(tables, data) for data in envelopes])

    def _envelope(self, tables: MemoryTables, data: bytes) -> Admitted | Refusal:
        try:
            parsed = parse_envelope(data, self.network_id)
        except Refused as fault:
            return Refusal(fault.code, fault.words)
        if not all(self.verify(*item) for item in signature_items(parsed)):
            return Refusal(BAD_SIGNATURE, "a signature does not verify")
        code = self._refused(tables, parsed)
        return _admitted(parsed) if code is None else Refusal(code, code, parsed.transaction)

    def _refused(self, tables: MemoryTables, parsed: ParsedEnvelope) -> str | None:
        time_ms = read_head(tables).time_ms
        if parsed.valid_until_ms <= time_ms:
            return EXPIRED
        seen = read_seen(tables, parsed.account, parsed.id)
        if seen is not None and seen.valid_until_ms > time_ms:
            return DUPLICATE if seen.transaction == parsed.transaction else CONFLICT
        return None if authorised(parsed.account, parsed.signers, StateTransaction(tables)) else NOT_AUTHORISED

    def check_batch(self, tables: MemoryTables, data: bytes) -> BatchAccepted | Refusal:
        """L-13."""
        del tables
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
            self.network_id, self.genesis.parameters, self.rules, tables, decode(Header, header), batches
        )
        assert done.height == height, "blocks are executed in order"
        outcomes = tuple(
            [
                Outcome(o.transaction, o.account, o.id, Fate.FINAL if o.final else Fate.SKIPPED, o.code, o.log_index)
                for o in done.outcomes
            ]
        )
        return Result(done.writes, done.executed, outcomes)


def _admitted(parsed: ParsedEnvelope) -> Admitted:
    body = parsed.body
    return Admitted(
        parsed.transaction, body.account, body.id, body.valid_until_ms, len(body.operations), len(parsed.signatures)
    )
