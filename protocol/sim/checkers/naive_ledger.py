"""The ledger once more, in the plainest way: a dictionary, a list of receipts, and the rules L-7, L-8, L-12, L-19.

For the checker of validity: it executes every final block here and compares. Written from the rules, and as unlike
the product's execution as possible: no tables, no layers, no undo, no incremental trie; an envelope works on a
dictionary of changes, which is thrown away or merged. Keys of the state are packed by hand. What clients of the
simulator send (`evidence.record`) is written out again too; other operations run by their application's own code over
this state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.apps.common import Origin
from protocol.apps.evidence.records import EVIDENCE, Evidence, EvidenceId, RecordEvidence
from protocol.apps.members.records import Council, NodeEntry
from protocol.codec import decode, encode
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.errors import Malformed, Refused
from protocol.ledger.accounts import Account
from protocol.ledger.application import Context, Rules, apply_operation
from protocol.ledger.genesis import Genesis, ValidatorPower, ValidatorSet, network_id
from protocol.ledger.members import Member, MemberName, Usage, Validator
from protocol.ledger.records import Batch, BatchBody, Envelope, EnvelopeBody, Executed, Header, Operation, Receipt
from protocol.ledger.spaces import parse_state_key
from protocol.sim.checkers.naive_roots import NaiveLog, NaiveTrie
from protocol.sim.raw import array, array_head, integer

Changes = dict[bytes, bytes | None]
Judged = tuple[bytes, bool, str, int | None]
"""(transaction, final or skipped, code, log index)."""


class Failure(Exception):
    """An operation refuses: code and words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class DictState:
    """The state that an application sees: a dictionary under a dictionary of changes.

    second: as `NaiveLedger.second`.
    """

    def __init__(self, below: dict[bytes, bytes], changes: Changes, second: dict[tuple[Any, ...], bytes]) -> None:
        self.below, self.changes, self.second = below, changes, second

    def read(self, key: bytes) -> bytes | None:
        """The value of an encoded key."""
        return self.changes[key] if key in self.changes else self.below.get(key)

    def get(self, space: Any, parts: tuple[Any, ...]) -> Any:
        """As `State.get`."""
        data = self.read(_key(space, parts))
        return None if data is None else decode(space.record, data)

    def find(self, space: Any, parts: tuple[Any, ...]) -> Any:
        """As `State.find`."""
        for key, data in self.changes.items():
            if data is not None and _second_key(space, key, data) == (space.also.name, *parts):
                return _parts(key), decode(space.record, data)
        found = self.second.get((space.also.name, *parts))
        return None if found is None else (_parts(found), decode(space.record, self.below[found]))

    def put(self, space: Any, parts: tuple[Any, ...], value: Any) -> None:
        """As `State.put`."""
        self.changes[_key(space, parts)] = encode(value)

    def delete(self, space: Any, parts: tuple[Any, ...]) -> None:
        """As `State.delete`."""
        self.changes[_key(space, parts)] = None


def _key(space: Any, parts: tuple[Any, ...]) -> bytes:
    return array(None, space.name, *parts) if space.added else array(space.name, *parts)


def _space_of_added(key: bytes) -> str | None:
    """Name of the space, if this is an added record's key: its first item is nil."""
    return parse_state_key(key)[0] if key[1:2] == b"\xc0" else None


def _parts(key: bytes) -> tuple[Any, ...]:
    return parse_state_key(key)[1]


def _second_key(space: Any, key: bytes, value: bytes) -> tuple[Any, ...] | None:
    """The second key of a record of this space, its name first; None if it is another's, or has none."""
    if _space_of_added(key) != space.name or space.also is None:
        return None
    parts = space.also.of(_parts(key), decode(space.record, value))
    return None if parts is None else (space.also.name, *parts)


@dataclass(slots=True)
class NaiveLedger:
    """State, log and replay window after the blocks that were executed.

    state: all values, those of added records under their own keys; the trie has their pages instead.
    """

    genesis: Genesis
    rules: Rules
    state: dict[bytes, bytes] = field(default_factory=dict)
    trie: NaiveTrie = field(default_factory=NaiveTrie)
    log: NaiveLog = field(default_factory=NaiveLog)
    seen: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """Account and id -> transaction, valid_until_ms."""
    used: dict[str, int] = field(default_factory=dict)
    """Member -> bytes of state charged to it."""
    added: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Records that the block at hand has added, in order: key, value."""
    second: dict[tuple[Any, ...], bytes] = field(default_factory=dict)
    """Second key of an added record, its name first -> its key."""
    results: list[Executed] = field(default_factory=list)
    """By height, from 0."""
    named: list[bytes] = field(default_factory=list)
    """The next set that the state names, encoded, by height, from 0 (C-21)."""
    judged: list[list[Judged]] = field(default_factory=lambda: [[]])
    """What became of each envelope, by height."""
    names: list[tuple[int, bytes, int]] = field(default_factory=list)
    """Of each receipt of the log: height, account and id, valid_until_ms."""

    def __post_init__(self) -> None:
        genesis = self.genesis
        for member in genesis.members:
            account = digest(Domain.ACCOUNT, member.keys[0])
            quota = member.state_quota_bytes
            quota = genesis.parameters.state_quota_bytes if quota is None else quota
            self._set(array("ledger.member", member.name), encode(Member(account, quota)))
            self._set(array("ledger.member_account", account), encode(MemberName(member.name)))
            self._set(array("accounts.account", account), encode(Account(member.keys, member.threshold)))
        for validator in genesis.validators:
            entry = encode(Validator(validator.member, validator.node_key))
            self._set(array("ledger.validator", validator.voting_key), entry)
        powers = tuple(ValidatorPower(v.voting_key, v.power) for v in genesis.validators)
        self._set(array("ledger.next_validators"), encode(ValidatorSet(powers)))
        if "members" in self.rules.applications:
            self._govern(genesis)
        self.named.append(self.state[array("ledger.next_validators")])
        self.results.append(Executed(0, self.trie.root(), 0, self.log.root()))

    def _govern(self, genesis: Genesis) -> None:
        """M-1, M-6: how members decide, and whose nodes may connect, at height 0."""
        self._set(array("members.council"), encode(Council(len(genesis.members), None, 0)))
        for validator in genesis.validators:
            self._set(
                array("members.node", validator.node_key), encode(NodeEntry(validator.member, validator.voting_key))
            )
        for observer in genesis.observers:
            self._set(array("members.node", observer.node_key), encode(NodeEntry(observer.member, None)))

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = value
        added = _space_of_added(key)
        if added is None or value is None:
            self.trie.put(key, value)
            return
        self.added.append((key, value))
        second = _second_key(self.rules.spaces[added], key, value)
        if second is not None:
            self.second[second] = key

    def _close_pages(self, height: int) -> None:
        """What the block added, in pages of about 5,300 bytes, each of them a value of the state."""
        pages: list[list[tuple[bytes, bytes]]] = []
        room = 0
        for key, value in self.added:
            takes = len(key) + len(value) + 8
            if not pages or takes > room:
                pages.append([])
                room = 5_300
            pages[-1].append((key, value))
            room -= takes
        for number, page in enumerate(pages):
            records = array_head(len(page)) + b"".join(array(key, value) for key, value in page)
            value = array_head(3) + integer(26) + integer(1) + records
            self.trie.put(array("ledger.added", height, number), value)
        self.added = []

    def execute(self, header: Header, batches: tuple[bytes, ...]) -> Executed:
        """One more block; its result."""
        judged: list[Judged] = []
        for data in batches:
            body = decode(BatchBody, decode(Batch, data).body)
            member = decode(Validator, self.state[array("ledger.validator", body.author)]).member
            for envelope in body.envelopes:
                judged.append(self._envelope(header, member, decode(Envelope, envelope).body, len(judged)))
        for member, used in self.used.items():
            key, value = array("ledger.usage", member), encode(Usage(used))
            if self.state.get(key, encode(Usage(0))) != value:
                self._set(key, value)
        self._close_pages(header.height)
        result = Executed(header.height, self.trie.root(), len(self.log.leaves), self.log.root())
        self.results.append(result)
        self.named.append(self.state[array("ledger.next_validators")])
        self.judged.append(judged)
        return result

    def _envelope(self, header: Header, member: str, signed: bytes, position: int) -> Judged:
        body, transaction = decode(EnvelopeBody, signed), digest(Domain.TRANSACTION, signed)
        code = self._skipped(body, transaction, header.time_ms)
        if code is not None:
            return transaction, False, code, None
        changes: Changes = {}
        receipt = self._run(header, member, body, transaction, position, changes)
        growth = sum(self._grown(key, value) for key, value in changes.items())
        charged = self.used.get(member, 0) + growth
        if growth > 0 and charged > self._quota(member):
            return transaction, False, "quota_exceeded", None
        if receipt.code == "ok":
            self.used[member] = max(0, charged)
        for key, value in changes.items():
            self._set(key, value)
        self.seen[body.account + body.id] = (transaction, body.valid_until_ms)
        self.log.append(encode(receipt))
        self.names.append((header.height, body.account + body.id, body.valid_until_ms))
        return transaction, True, receipt.code, len(self.log.leaves) - 1

    def _skipped(self, body: EnvelopeBody, transaction: bytes, now_ms: int) -> str | None:
        """L-7, in the order of judgement."""
        if body.valid_until_ms <= now_ms:
            return "expired"
        if body.valid_until_ms - now_ms > self.genesis.parameters.envelope_ttl_max_ms:
            return "too_far_ahead"
        before, until_ms = self.seen.get(body.account + body.id, (b"", 0))
        if until_ms > now_ms:
            return "duplicate" if before == transaction else "conflict"
        return None if self._authorised(body) else "not_authorised"

    def _authorised(self, body: EnvelopeBody) -> bool:
        record = self.state.get(array("accounts.account", body.account))
        if record is None:
            return body.account in [digest(Domain.ACCOUNT, signer) for signer in body.signers]
        account = decode(Account, record)
        return len([key for key in account.keys if key in body.signers]) >= account.threshold

    def _quota(self, member: str) -> int:
        return decode(Member, self.state[array("ledger.member", member)]).state_quota_bytes

    def _grown(self, key: bytes, value: bytes | None) -> int:
        new, old = (0 if data is None else len(key) + len(data) for data in (value, self.state.get(key)))
        return new - old + (0 if _space_of_added(key) is None else 40)

    def _run(
        self, header: Header, member: str, body: EnvelopeBody, transaction: bytes, position: int, changes: Changes
    ) -> Receipt:
        """L-8: all operations or none."""
        results: list[bytes] = []
        state = DictState(self.state, changes, self.second)
        for index, operation in enumerate(body.operations):
            place = (header.height, header.time_ms, transaction, body.account, body.signers, member, index)
            context = Context(network_id(self.genesis), *place)
            try:
                results.append(self._apply(context, state, operation))
            except (Failure, Refused) as refusal:
                changes.clear()
                words = refusal.words.encode()[:256].decode("utf-8", "ignore")
                return Receipt(transaction, header.height, header.time_ms, position, refusal.code, index, words, ())
        return Receipt(transaction, header.height, header.time_ms, position, "ok", None, "", tuple(results))

    def _apply(self, context: Context, state: DictState, operation: Operation) -> bytes:
        if (operation.app, operation.name) == ("evidence", "record"):
            try:
                arguments = decode(RecordEvidence, operation.arguments)
            except Malformed:
                arguments = None
            if arguments is not None and arguments.owner is None:
                _record_evidence(context, state, arguments)
                return b""
        return apply_operation(self.rules, context, state, operation)


def _record_evidence(context: Context, state: DictState, arguments: RecordEvidence) -> None:
    """E-2: a new id and, of this owner, a new digest."""
    owner, stated = context.account, arguments.statement
    name = array(None, "evidence.record", owner, arguments.id)
    if state.read(name) is not None:
        raise Failure("already_exists", f"account {owner.hex()} has an evidence {arguments.id.hex()} already")
    said = (stated.algorithm, stated.digest, owner)
    known = state.find(EVIDENCE, said)
    if known is not None:
        again = state.read(array("evidence.latest", *said))
        latest = known[0][1] if again is None else decode(EvidenceId, again).id
        raise Failure("already_recorded", f"account {owner.hex()} recorded this digest as evidence {latest.hex()}")
    origin = Origin(context.transaction, context.operation)
    state.changes[name] = encode(Evidence(stated.algorithm, stated.digest, origin, context.time_ms, None, False))
