"""Execution: from final blocks to state, receipts and roots (L-7, L-8, L-12, L-19, L-21, L-22).

`execute_block` is a pure function from what the tables hold and one final block to what the tables shall hold.
Envelopes are taken as the header lists their batches and the batches list them (L-19). Each is either

* **skipped** (L-7): outside its time window, already final, in conflict, not authorised by its signers, or
  beyond the state quota of the member whose validator sealed it. It leaves nothing, and may come again; or
* **final**: its operations apply all or none (L-8), it gets a receipt, and the receipt a leaf in the log.

So a failed envelope is final too, with the code, index and words of the operation that refused; and whoever
copies a stranger's envelope into a batch cannot burn it, since what counts is in the state, not in the batch.

Signatures were verified before a quorum voted for the block; here they are not verified again. What a final
header states about results is compared with what was computed here: a difference is `Diverged`, and the node
stops before it signs anything more (L-22). Everything else that cannot be, such as a batch that is not the one
referenced or an application that raises anything but `Refused`, is a broken invariant.

The replay window stands in two tables, by (account, id) and by expiry; entries that block time has passed are
removed a bounded number a block, and count for nothing before (so pruning cannot be observed).

Deliberately absent: storage, consensus, signatures, the applications themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protocol import limits
from protocol.codec import encode
from protocol.crypto import log, trie
from protocol.errors import (
    CODES,
    CONFLICT,
    DIVERGED,
    DUPLICATE,
    EXPIRED,
    NOT_AUTHORISED,
    OK,
    QUOTA_EXCEEDED,
    TOO_FAR_AHEAD,
    TOO_LARGE,
    BrokenInvariant,
    Refused,
)
from protocol.ledger.accounts import authorised
from protocol.ledger.added import pack_pages
from protocol.ledger.application import Context, Rules, apply_operation
from protocol.ledger.batch import ParsedBatch, parse_batch
from protocol.ledger.closings import Closing, closes, closing_key, pack_closing, validators_at
from protocol.ledger.envelope import ParsedEnvelope
from protocol.ledger.genesis import Parameters, validators_hash
from protocol.ledger.index import (
    HEIGHT_KEY,
    PEAKS_KEY,
    Roots,
    Seen,
    expiring_names,
    expiry_rows,
    history_key,
    log_rows,
    number_key,
    number_of,
    pack_peaks,
    pack_roots,
    read_head,
    read_named,
    read_peaks,
    read_roots,
    receipt_at,
    seen_key,
    seen_name,
    transaction_key,
    trie_getter,
    trie_key,
)
from protocol.ledger.members import (
    GOVERNANCE_KEY,
    LEDGER_SPACES,
    USAGE,
    Governed,
    Usage,
    governed,
    member_by_name,
    member_of_validator,
    usage_bytes,
)
from protocol.ledger.records import Executed, Header, Receipt, header_hash
from protocol.ledger.state import StateTransaction
from protocol.ledger.tables import Reader, Table, Writes
from protocol.ledger.undo import pack_undo, prune_undo
from protocol.values import frozen

LEDGER_WRITABLE = frozenset(space.name for space in LEDGER_SPACES)
_FORGOTTEN_IN_ONE_BLOCK_MIN = 256
_EXPIRING_ROWS = 8
"""Read at a time, each of some kilobytes."""


@frozen
class EnvelopeOutcome:
    """What became of one envelope of a block. `log_index` is None and `final` False when it was skipped."""

    transaction: bytes
    account: bytes
    id: bytes
    final: bool
    code: str
    log_index: int | None
    position: int


@frozen
class Execution:
    """The result of one block: apply `writes` at once or not at all (L-26)."""

    height: int
    executed: Executed
    writes: Writes
    receipts: tuple[Receipt, ...]
    outcomes: tuple[EnvelopeOutcome, ...]
    governed: Governed | None = None
    """Who takes part from this height on, if this block changed it."""


class Diverged(BrokenInvariant):
    """A final header states other results than were computed here (L-22)."""

    code = DIVERGED


def execute_block(
    network_id: bytes, parameters: Parameters, rules: Rules, reader: Reader, header: Header, batches: Sequence[bytes]
) -> Execution:
    """Execute a final block on the state of the height below it.

    batches: encoded `Batch`es, as the header references them. Raises BrokenInvariant if the block does not
    belong here, Diverged by L-22.
    """
    head = read_head(reader)
    _check_header(network_id, rules, reader, head, header)
    parsed = [parse_batch_of_block(network_id, header, index, data) for index, data in enumerate(batches)]
    if len(parsed) != len(header.references):
        raise BrokenInvariant(f"a block with {len(header.references)} references came with {len(parsed)} batches")
    work = BlockWork(network_id, parameters, rules, reader, header, head)
    work.forget(sum(len(batch.envelopes) for batch in parsed))
    for batch in parsed:
        work.run_batch(batch)
    return work.finish()


def parse_batch_of_block(network_id: bytes, header: Header, index: int, data: bytes) -> ParsedBatch:
    """The batch at `index` of a final block. Raises BrokenInvariant if it is not the one referenced."""
    try:
        batch = parse_batch(data, network_id)
    except Refused as fault:
        raise BrokenInvariant(f"batch {index} of final block {header.height}: {fault.words}") from fault
    if index >= len(header.references) or batch.reference != header.references[index]:
        raise BrokenInvariant(f"batch {index} of final block {header.height} is not the one that its header references")
    return batch


def _check_header(network_id: bytes, rules: Rules, reader: Reader, head: Roots, header: Header) -> None:
    below = head.executed.height
    if header.height != below + 1 or header.parent != head.header_hash or header.time_ms <= head.time_ms:
        raise BrokenInvariant(f"block {header.height} does not stand on the executed height {below}")
    if header.rules != rules.version:
        raise BrokenInvariant(f"block {header.height} is of rules {header.rules}, not {rules.version}")
    if below == 0 and header.parent != network_id:
        raise BrokenInvariant("the state store is another network's")
    here = read_roots(reader, header.executed.height)
    if here is None:
        raise BrokenInvariant(f"block {header.height} names results of height {header.executed.height}, not known here")
    if here.executed != header.executed:
        raise Diverged(
            f"at height {header.executed.height} this node computed {here.executed}, the network says {header.executed}"
        )


class BlockWork:
    """One block being executed: the state over it, and what it writes."""

    __slots__ = (
        "_base",
        "_charged",
        "_head",
        "_header",
        "_leaves",
        "_network_id",
        "_outcomes",
        "_parameters",
        "_quotas",
        "_reader",
        "_receipts",
        "_rules",
        "_seen",
        "_state",
        "_writes",
    )

    def __init__(
        self, network_id: bytes, parameters: Parameters, rules: Rules, reader: Reader, header: Header, head: Roots
    ) -> None:
        self._network_id = network_id
        self._parameters = parameters
        self._rules = rules
        self._reader = reader
        self._header = header
        self._head = head
        self._state = StateTransaction(reader)
        self._writes: Writes = {}
        self._leaves: list[bytes] = []
        self._receipts: list[Receipt] = []
        self._outcomes: list[EnvelopeOutcome] = []
        self._seen: dict[bytes, Seen] = {}
        self._charged: dict[str, int] = {}
        self._quotas: dict[str, int] = {}

    def forget(self, envelopes: int) -> None:
        """Remove replay entries whose time has passed, some more than the block can add."""
        table, now = Table.SEEN_EXPIRY, self._header.time_ms
        left = max(_FORGOTTEN_IN_ONE_BLOCK_MIN, 2 * envelopes)
        for key, names in self._expiring():
            if number_of(key) > now or left <= 0:
                return
            self._writes[table, key] = None
            left -= len(names)
            for name in names:
                there = read_named(self._reader, name)
                # A later envelope of the same (account, id) may stand there by now, with its own expiry.
                if there is not None and not there.holds(now):
                    self._writes[Table.SEEN, seen_key(name, there)] = None

    def _expiring(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Keys and names of SEEN_EXPIRY, first what ends first; a few rows are read at a time."""
        start, rows = b"", [(b"", b"")]
        while rows:
            rows = list(self._reader.scan(Table.SEEN_EXPIRY, b"", start, _EXPIRING_ROWS))
            for key, value in rows:
                yield key, expiring_names(value)
                start = key + b"\0"

    def run_batch(self, batch: ParsedBatch) -> None:
        """Execute the envelopes of one batch, in its order."""
        member = member_of_validator(batch.author, self._state)
        owner = None if member is None else member_by_name(member, self._state)
        if member is None or owner is None:
            raise BrokenInvariant(f"a final block references a batch by {batch.author.hex()}, who is no validator")
        if member not in self._charged:
            self._charged[member] = usage_bytes(member, self._state)
            self._quotas[member] = owner.state_quota_bytes
        for envelope in batch.envelopes:
            self._run_envelope(envelope, member)

    def _run_envelope(self, envelope: ParsedEnvelope, member: str) -> None:
        position = len(self._outcomes)
        name = seen_name(envelope.body.account, envelope.body.id)
        before = self._seen.get(name) or read_named(self._reader, name)
        code = self._reason_to_skip(envelope, before)
        if code is None:
            receipt = self._apply(envelope, member, position)
            if receipt is not None:
                if before is not None:  # it has ended: a name has one row, and `forget` may be late
                    self._writes[Table.SEEN, seen_key(name, before)] = None
                self._record(envelope, name, receipt, position)
                return
            code = QUOTA_EXCEEDED
        body = envelope.body
        self._outcomes.append(EnvelopeOutcome(envelope.transaction, body.account, body.id, False, code, None, position))

    def _reason_to_skip(self, envelope: ParsedEnvelope, seen: Seen | None) -> str | None:
        """The code by which the envelope is skipped before it runs, or None (L-7). seen: what stands under its name."""
        body, now = envelope.body, self._header.time_ms
        if body.valid_until_ms <= now:
            return EXPIRED
        if body.valid_until_ms > now + self._parameters.envelope_ttl_max_ms:
            return TOO_FAR_AHEAD
        if seen is not None and seen.holds(now):
            return DUPLICATE if self._transaction_at(seen.log_index) == envelope.transaction else CONFLICT
        if not authorised(body.account, body.signers, self._state):
            return NOT_AUTHORISED
        return None

    def _transaction_at(self, log_index: int) -> bytes | None:
        """Whose receipt stands at a place of the log, of this block or an earlier one."""
        here = log_index - self._head.executed.log_size
        receipt = receipt_at(self._reader, log_index) if here < 0 else self._receipts[here]
        return None if receipt is None else receipt.transaction

    def _apply(self, envelope: ParsedEnvelope, member: str, position: int) -> Receipt | None:
        """Run all operations or none; the receipt, or None if the quota does not allow it."""
        state, header = self._state, self._header
        code, failed, words = OK, None, ""
        results: list[bytes] = []
        try:
            self._run_operations(envelope, member, results)
        except Refused as refusal:
            if refusal.code not in CODES:
                raise BrokenInvariant(f"an application refused with {refusal.code!r}, which no table has") from refusal
            state.discard()
            code, failed, words = refusal.code, len(results), _clip(refusal.words)
            results = []
        else:
            growth = state.growth_bytes()
            charged = self._charged[member] + growth
            if growth > 0 and charged > self._quotas[member]:
                state.discard()
                return None
            self._charged[member] = max(0, charged)
            state.keep()
        return Receipt(
            envelope.transaction, header.height, header.time_ms, position, code, failed, words, tuple(results)
        )

    def _run_operations(self, envelope: ParsedEnvelope, member: str, results: list[bytes]) -> None:
        """Apply one operation after the other, adding its result. Raises Refused; anything else is ours."""
        body, header, rules, state = envelope.body, self._header, self._rules, self._state
        size = 0
        for index, operation in enumerate(body.operations):
            context = Context(
                self._network_id,
                header.height,
                header.time_ms,
                envelope.transaction,
                body.account,
                body.signers,
                member,
                index,
            )
            state.writable = rules.writable.get(operation.app, frozenset())
            try:
                result = apply_operation(rules, context, state, operation)
            except Refused:
                raise
            except Exception as fault:
                raise BrokenInvariant(
                    f"{operation.app}.{operation.name} failed: {type(fault).__name__}: {fault}"
                ) from fault
            size += len(result)
            if size > limits.RECEIPT_RESULTS_BYTES_MAX:
                raise Refused(
                    TOO_LARGE, f"the results pass {limits.RECEIPT_RESULTS_BYTES_MAX} bytes; use more envelopes"
                )
            results.append(result)

    def _record(self, envelope: ParsedEnvelope, name: bytes, receipt: Receipt, position: int) -> None:
        """Write a final envelope's receipt, leaf, and places to find it by."""
        body, transaction, writes = envelope.body, envelope.transaction, self._writes
        log_index = self._head.executed.log_size + len(self._leaves)
        index_key = number_key(log_index)
        data = encode(receipt)
        self._leaves.append(log.leaf_hash(data))
        self._receipts.append(receipt)
        self._seen[name] = seen = Seen(body.valid_until_ms, log_index)
        writes[Table.RECEIPT, index_key] = data
        writes[Table.TRANSACTION, transaction_key(transaction, log_index)] = b""
        writes[Table.HISTORY, history_key(body.account, log_index)] = b""
        writes[Table.SEEN, seen_key(name, seen)] = b""
        self._outcomes.append(
            EnvelopeOutcome(transaction, body.account, body.id, True, receipt.code, log_index, position)
        )

    def finish(self) -> Execution:
        """Charge the members, update trie and log, and close the block."""
        header, writes = self._header, self._writes
        self._charge()
        writes.update(expiry_rows(self._seen.items()))
        executed = Executed(header.height, self._finish_state(), *self._finish_log())
        if header.references:
            prune_undo(self._reader, header.executed.height, writes)
        if closes(header):
            self._close_epoch()
        key = number_key(header.height)
        writes[Table.ROOTS, key] = pack_roots(Roots(executed, header_hash(header), header.time_ms))
        writes[Table.META, HEIGHT_KEY] = key
        changed = governed(self._state) if (Table.STATE, GOVERNANCE_KEY) in writes else None
        return Execution(header.height, executed, writes, tuple(self._receipts), tuple(self._outcomes), changed)

    def _close_epoch(self) -> None:
        """Remember the block that closes its epoch, with the set that it names (C-21, C-22)."""
        header = self._header
        named = validators_at(self._reader, header.executed.height)
        if validators_hash(named) != header.next_validators_hash:
            raise Diverged(f"block {header.height} names other next validators than the state at its executed height")
        value = pack_closing(Closing(header.epoch, header.height, header_hash(header), named))
        self._writes[Table.META, closing_key(header.epoch)] = value

    def _charge(self) -> None:
        """Write what the members' usage has become (L-12)."""
        self._state.writable = LEDGER_WRITABLE
        for member, used in self._charged.items():
            if used != usage_bytes(member, self._state):
                self._state.put(USAGE, (member,), Usage(used))
        self._state.keep()

    def _finish_state(self) -> bytes:
        """Write the changed state, its trie and its undo; the root."""
        changes: dict[bytes, bytes | None] = self._state.changes()
        pages, places = pack_pages(self._header.height, self._state.added())
        if not changes and not pages:
            return self._head.executed.state_root
        writes = self._writes
        undo = pack_undo({key: self._state.before(key) for key in changes} | dict.fromkeys(pages))
        changes |= pages
        root, nodes = trie.update(trie_getter(self._reader), changes)
        for key, value in changes.items():
            writes[Table.STATE, key] = value
        for position, node in nodes.items():
            writes[Table.TRIE, trie_key(position)] = node
        writes.update(dict.fromkeys(places, b""))
        writes[Table.TRIE_UNDO, number_key(self._header.height)] = undo
        return root

    def _finish_log(self) -> tuple[int, bytes]:
        """Write the block's leaves; size and root of the log."""
        before = self._head.executed
        if not self._leaves:
            return before.log_size, before.log_root
        known = read_peaks(self._reader, before.log_size)
        size, subtrees = log.append(lambda *place: known.get(place), before.log_size, self._leaves)
        known |= subtrees
        self._writes.update(log_rows(subtrees))
        self._writes[Table.META, PEAKS_KEY] = pack_peaks(known, size)
        return size, log.root(lambda *place: known.get(place), size)


def _clip(words: str) -> str:
    """Words of at most `WORDS_BYTES_MAX` bytes, cut between characters."""
    data = words.encode("utf-8", "replace")
    return data[: limits.WORDS_BYTES_MAX].decode("utf-8", "ignore")
