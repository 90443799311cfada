"""Submitting envelopes, and what became of a transaction (L-9).

**A post** holds one or many envelopes; each gets a result of its own. The post as a whole is refused only when its form
is wrong, or when the node takes nothing at the moment: then with 429 or 503 and `Retry-After`, so that a client needs
to look at no result to know that it has to slow down.

**Sending again is safe.** An envelope that is final already is answered with its first receipt, so a client that lost
an answer posts the same bytes again.

**Waiting.** With `wait_ms` a result becomes the final outcome where that is reached in time. What is not stays
`pending`, which says: ask again. It never says that something failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import trio

from daemon import limits
from daemon.api.contents import Named
from daemon.api.messages import MSGPACK, PROOF, Answer
from daemon.api.problems import PRESSURE, Problem, bad_request, described, problem, to_bytes
from daemon.api.routes import Given
from daemon.api.schemas import Outcome, Receipt
from daemon.api.surroundings import Surroundings
from daemon.runtime.service import Stage, TransactionOutcome
from daemon.store.errors import SegmentDamaged
from protocol import limits as protocol_limits
from protocol.codec import decode
from protocol.errors import CONFLICT, DUPLICATE, NOT_COVERED, NOT_FOUND, TOO_LARGE, Refused
from protocol.ledger.admission import other_content
from protocol.ledger.describe import OperationName, receipt_to_json
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.index import locate, read_head, read_seen
from protocol.ledger.records import Receipt as ReceiptRecord
from protocol.node.interface import Admitted, Refusal

IN_THREAD_BYTES: Final = 256 * 1024
"""A larger body is decoded in a thread: some milliseconds, in which votes would wait."""
_ENVELOPES_EXPECTED: Final = 'expected an object {"envelopes": [hex, ...]} and nothing else'
_BYTES_EXPECTED: Final = f"expected a msgpack array of 1 to {limits.API_ENVELOPES_MAX} byte strings"
_ARRAY_HEADS: Final = {**{0x90 | count: 0 for count in range(16)}, 0xDC: 2, 0xDD: 4}
_BYTES_HEADS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""First byte of msgpack's arrays and byte strings, and how many bytes of count follow; 0: its last four bits are it."""


async def submit(around: Surroundings, given: Given) -> Answer:
    """POST /v1/envelopes."""
    body = given.request.body
    read = _read_msgpack if given.request.media_type == MSGPACK else _read_json
    envelopes = await around.read(lambda: read(body)) if len(body) > IN_THREAD_BYTES else read(body)
    deadline = trio.current_time() + given["wait_ms"] / 1000
    results = await around.node.submit(envelopes)
    first = results[0]
    if isinstance(first, Refusal) and all(isinstance(r, Refusal) and r.code in PRESSURE for r in results):
        more = {"results": [_refused(result) for result in results if isinstance(result, Refusal)]}
        return problem(first.code, first.words, more=more)
    answers = [await _result(around, data, result, deadline) for data, result in zip(envelopes, results, strict=True)]
    return Answer(200, to_bytes({"results": answers}))


async def _result(around: Surroundings, data: bytes, result: Admitted | Refusal, deadline: float) -> Outcome:
    """What one envelope is answered."""
    if isinstance(result, Refusal):
        if result.code != DUPLICATE or result.transaction is None:
            return _refused(result)
        outcome = around.node.outcome(result.transaction)
        return _outcome(around, result.transaction, outcome, _operations(around, data))
    left = deadline - trio.current_time()
    if left <= 0:
        return {"transaction": result.transaction.hex(), "status": "pending"}
    outcome = await around.node.wait_final(result.transaction, left)
    if outcome.stage is Stage.NOT_SEEN:  # it was admitted a moment ago: it is between pool and block
        return {"transaction": result.transaction.hex(), "status": "pending"}
    return _outcome(around, result.transaction, outcome, _operations(around, data))


async def outcome(around: Surroundings, given: Given) -> Answer:
    """GET /v1/transactions/{transaction}."""
    transaction, valid_until_ms = given["transaction"], given["valid_until_ms"]
    if given["wait_ms"]:
        found = await around.node.wait_final(transaction, given["wait_ms"] / 1000, valid_until_ms)
    else:
        found = around.node.outcome(transaction, valid_until_ms)
    operations: tuple[Named, ...] = ()
    if found.stage is Stage.FINAL:
        assert found.height is not None
        assert found.position is not None
        with suppress(Refused, SegmentDamaged):  # the block is pruned or damaged, its outcome is not: results as hex
            operations = (await around.contents.at(found.height))[found.position].operations
    answer = _outcome(around, transaction, found, operations)
    if found.stage is Stage.NOT_SEEN and given["account"] is not None and given["id"] is not None:
        answer = _conflict(around, given) or answer
    return Answer(200, to_bytes(answer))


async def proof(around: Surroundings, given: Given) -> Answer:
    """GET /v1/transactions/{transaction}/proof."""
    transaction = given["transaction"]
    deadline = trio.current_time() + given["wait_ms"] / 1000
    while True:
        changed = around.node.progress.changed
        try:
            data = await around.prove(lambda: _make_proof(around, transaction))
        except Refused as fault:
            late = trio.current_time() >= deadline or around.node.progress.stopping
            if fault.code not in (NOT_FOUND, NOT_COVERED) or late:
                raise
        else:
            name = f'attachment; filename="{transaction.hex()[:16]}.proof"'
            return Answer(200, data, PROOF, (("content-disposition", name),))
        with trio.move_on_at(deadline):
            await changed.wait()


def _make_proof(around: Surroundings, transaction: bytes) -> bytes:
    with around.node.reader() as reader:
        return around.prover.receipt(reader, transaction)


# -- Reading bodies -----------------------------------------------------------------------------------


def _read_json(body: bytes) -> list[bytes]:
    """Envelopes from {"envelopes": [hex, ...]}. Raises Problem.

    Counted before it is read: nested lists cost a hundred times their bytes, and the interpreter while they are made.
    """
    if body.count(b"[") > 1 or body.count(b"{") > 1:
        raise bad_request(_ENVELOPES_EXPECTED)
    if (commas := body.count(b",")) >= limits.API_ENVELOPES_MAX:
        raise _number_refused(commas + 1)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None
    if type(value) is not dict or list(value) != ["envelopes"] or type(value["envelopes"]) is not list:
        raise bad_request(_ENVELOPES_EXPECTED)
    return _checked([_from_hex(text, at) for at, text in enumerate(_counted(value["envelopes"]))])


def _read_msgpack(body: bytes) -> list[bytes]:
    """Envelopes from an array of byte strings. Raises Problem.

    By hand, since a library would first make all that a hostile body nests, as with JSON.
    """
    count, at = _msgpack_head(body, 0, _ARRAY_HEADS)
    if not 1 <= count <= limits.API_ENVELOPES_MAX:
        raise _number_refused(count)
    found = []
    for _ in range(count):
        size, begin = _msgpack_head(body, at, _BYTES_HEADS)
        at = begin + size
        found.append(body[begin:at])
    if at != len(body):  # too few bytes, or some that belong to nothing
        raise bad_request(_BYTES_EXPECTED)
    return _checked(found)


def _msgpack_head(body: bytes, at: int, heads: Mapping[int, int]) -> tuple[int, int]:
    """Count that the head of an array or byte string states, and where its content begins. Raises Problem."""
    width = heads.get(body[at]) if at < len(body) else None
    if width is None or (begin := at + 1 + width) > len(body):
        raise bad_request(_BYTES_EXPECTED)
    return int.from_bytes(body[at + 1 : begin], "big") if width else body[at] & 0x0F, begin


def _counted(values: list[Any]) -> list[Any]:
    if not 1 <= len(values) <= limits.API_ENVELOPES_MAX:
        raise _number_refused(len(values))
    return values


def _number_refused(count: int) -> Problem:
    return bad_request(f"{count} envelopes; expected 1 to {limits.API_ENVELOPES_MAX}")


def _from_hex(text: Any, at: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except (TypeError, ValueError):
        data = b""
    if not data or data.hex() != text:  # so neither upper case nor spaces, which fromhex takes
        raise bad_request(f"envelopes[{at}]: expected lower-case hex")
    return data


def _checked(envelopes: list[bytes]) -> list[bytes]:
    for at, data in enumerate(envelopes):
        if len(data) > protocol_limits.ENVELOPE_BYTES_MAX:
            words = f"envelopes[{at}]: {len(data)} bytes, at most {protocol_limits.ENVELOPE_BYTES_MAX}"
            raise Problem(TOO_LARGE, words)
    return envelopes


# -- Making answers -----------------------------------------------------------------------------------


def _refused(refusal: Refusal) -> Outcome:
    row = described(refusal.code)
    found: dict[str, Any] = {"status": "refused", "code": refusal.code, "detail": refusal.words}
    found |= {"retry": row["retry"], "fault": row["fault"]}
    if refusal.transaction is not None:
        found["transaction"] = refusal.transaction.hex()
    return cast(Outcome, found)


def _outcome(
    around: Surroundings, transaction: bytes, found: TransactionOutcome, operations: Sequence[OperationName]
) -> Outcome:
    answer: Outcome = {"transaction": transaction.hex(), "status": found.stage.value}
    if found.refusal is not None:
        answer = _refused(found.refusal)
        answer["transaction"] = transaction.hex()
    answer["executed_height"] = found.executed_height
    if found.receipt is not None:
        assert found.log_index is not None
        receipt = decode(ReceiptRecord, found.receipt)
        answer["log_index"] = found.log_index
        answer["receipt"] = cast(Receipt, receipt_to_json(around.rules(receipt.height), receipt, operations))
    return answer


def _operations(around: Surroundings, data: bytes) -> Sequence[OperationName]:
    """Of an envelope that the node took."""
    return parse_envelope(data, around.network_id).body.operations


def _conflict(around: Surroundings, given: Given) -> Outcome | None:
    """Whether another envelope of this account and id is final: then this one cannot be, while that is remembered."""
    with around.node.reader() as reader:
        seen = read_seen(reader, given["account"], given["id"])
        place = locate(reader, given["transaction"])
        if seen is None or not seen.holds(read_head(reader).time_ms):
            return None
        if place is not None and place.log_index == seen.log_index:
            return None
        words = f"this account's id {other_content(reader, seen)}"
    return _refused(Refusal(CONFLICT, words, given["transaction"]))
