"""Blocks: how a leader makes a header, and when a validator calls one valid (L-17, L-18).

`judge_header` is a pure function of the header and of what this node knows: the parent, which batches are
ready, what was executed, the clock. It answers *valid*, *invalid* (a vote against), or *later* (nothing is
wrong, but something is missing here: look again when it comes). *Invalid* must mean the same on every
honest node at every time; whatever depends on what has arrived is *later*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from protocol.ledger.genesis import Parameters
from protocol.ledger.records import Executed, Header, Reference


class Standing(Enum):
    """What a header is, seen from here and now."""

    VALID = "valid"
    INVALID = "invalid"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A standing, the words of why, and the digests of batches that are missing here."""

    standing: Standing
    words: str = ""
    missing: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Parent:
    """The block below: its hash (the network id at height 0), and what its header says."""

    hash: bytes
    height: int
    time_ms: int
    executed: Executed


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a header is judged against.

    proposer: voting key of the view's leader. validators: voting keys of the epoch. rules: version by height.
    used: whether an ancestor references this digest. ready: expiry height of a batch that is ready here, None if it is
        not, -1 if the reference does not fit the batch of its digest.
    executed_at: what was computed here at a final height, or None if it was not (yet).
    next_at: hash of the next set that the state of a final height names, or None if it is not known here (yet).
    lag: how many blocks with references lie above a height in the ancestry, up to and including the parent.
    """

    parameters: Parameters
    rules: int
    epoch: int
    proposer: bytes
    validators: frozenset[bytes]
    validators_hash: bytes
    parent: Parent
    used: Callable[[bytes], bool]
    ready: Callable[[Reference], int | None]
    executed_at: Callable[[int], Executed | None]
    next_at: Callable[[int], bytes | None]
    lag: Callable[[int], int]
    clock_ms: int


def parent_of(header: Header, hashed: bytes) -> Parent:
    """A header as the parent of the next."""
    return Parent(hashed, header.height, header.time_ms, header.executed)


def leader_time_ms(clock_ms: int, parent_time_ms: int) -> int:
    """The time of a new header: the clock's, but always after the parent's (L-18)."""
    return max(clock_ms, parent_time_ms + 1)


def judge_header(header: Header, around: Surroundings) -> Judgement:
    """Whether to notarize a block with this header (L-18)."""
    words = _wrong_frame(header, around) or _wrong_references(header, around) or _wrong_executed(header, around)
    if words:
        return Judgement(Standing.INVALID, words)
    return _judge_batches(header, around) or _judge_rest(header, around) or Judgement(Standing.VALID)


def _wrong_frame(header: Header, around: Surroundings) -> str:
    parent = around.parent
    checks = (
        (header.rules == around.rules, f"rules version {header.rules}, expected {around.rules}"),
        (header.epoch == around.epoch, f"epoch {header.epoch}, expected {around.epoch}"),
        (header.height == parent.height + 1, f"height {header.height}, expected {parent.height + 1}"),
        (header.parent == parent.hash, "another parent than the proposal's"),
        (header.proposer == around.proposer, "proposer is not the leader of the view"),
        (header.time_ms > parent.time_ms, "time is not after the parent's"),
        (header.validators_hash == around.validators_hash, "another validator set"),
    )
    return next((words for holds, words in checks if not holds), "")


def _wrong_references(header: Header, around: Surroundings) -> str:
    parameters, references = around.parameters, header.references
    digests = [reference.digest for reference in references]
    checks = (
        (len(set(digests)) == len(digests), "a batch is referenced twice"),
        (all(reference.author in around.validators for reference in references), "a batch by no validator"),
        (len(references) <= parameters.block_references_max, "too many references"),
        (sum(reference.bytes for reference in references) <= parameters.block_bytes_max, "too many bytes"),
        (sum(reference.count for reference in references) <= parameters.block_envelopes_max, "too many envelopes"),
        (not any(around.used(digest) for digest in digests), "a batch that an ancestor references"),
    )
    return next((words for holds, words in checks if not holds), "")


def _wrong_executed(header: Header, around: Surroundings) -> str:
    parent = around.parent
    if header.executed == parent.executed:
        # The state that the parent's set was taken from: a block that closes its epoch is nobody's parent (C-21).
        return _wrong_next(header, around.validators_hash) or _wrong_lag(header, around)
    if not parent.executed.height < header.executed.height <= parent.height:
        return f"executed height {header.executed.height} is not between the parent's and the parent"
    here = around.executed_at(header.executed.height)
    if here is not None and here != header.executed:
        return f"executed differs from what was computed here at height {here.height}"
    return _wrong_next(header, around.next_at(header.executed.height)) or _wrong_lag(header, around)


def _wrong_next(header: Header, expected: bytes | None) -> str:
    """L-18, C-21: next validators as the state at *executed* says."""
    return "" if expected in (None, header.next_validators_hash) else "another next validator set"


def _wrong_lag(header: Header, around: Surroundings) -> str:
    if header.references and around.lag(header.executed.height) > around.parameters.execution_lag_max:
        return "references while execution is too far behind"
    return ""


def _judge_batches(header: Header, around: Surroundings) -> Judgement | None:
    missing: list[Reference] = []
    for reference in header.references:
        expiry = around.ready(reference)
        if expiry is None:
            missing.append(reference)
        elif expiry < 0:
            return Judgement(Standing.INVALID, "a reference that does not fit its batch")
        elif not expiry - around.parameters.batch_ttl_max <= header.height <= expiry:
            return Judgement(Standing.INVALID, f"a batch outside its heights, up to {expiry}")
    return Judgement(Standing.LATER, f"{len(missing)} batches missing", tuple(missing)) if missing else None


def _judge_rest(header: Header, around: Surroundings) -> Judgement | None:
    height, known = header.executed.height, around.executed_at(header.executed.height) is not None
    if header.executed != around.parent.executed and (not known or around.next_at(height) is None):
        return Judgement(Standing.LATER, f"height {height} is not executed here yet")
    latest = max(around.clock_ms + around.parameters.clock_drift_max_ms, around.parent.time_ms + 1)
    if header.time_ms > latest:
        return Judgement(Standing.LATER, f"time is {header.time_ms - around.clock_ms} ms ahead of the clock here")
    return None


def choose_references(
    candidates: Sequence[Reference], member_of: Callable[[bytes], str], parameters: Parameters
) -> tuple[Reference, ...]:
    """References for one block, within its bounds (L-12).

    Oldest first of each member, and always of the member that has least of the block so far: in bytes or in
    envelopes, whichever is more of their bound.
    """
    queues: dict[str, deque[Reference]] = {}
    for reference in candidates:
        queues.setdefault(member_of(reference.author), deque()).append(reference)
    shares = dict.fromkeys(queues, 0)
    chosen: list[Reference] = []
    size = count = 0
    while queues and len(chosen) < parameters.block_references_max:
        member = min(queues, key=shares.__getitem__)
        reference = queues[member].popleft()
        if not queues[member]:
            del queues[member]
        if (
            size + reference.bytes > parameters.block_bytes_max
            or count + reference.count > parameters.block_envelopes_max
        ):
            continue
        chosen.append(reference)
        size += reference.bytes
        count += reference.count
        shares[member] += max(
            reference.bytes * parameters.block_envelopes_max, reference.count * parameters.block_bytes_max
        )
    return tuple(chosen)
