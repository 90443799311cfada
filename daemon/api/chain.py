"""Blocks and accounts, as this node has executed them.

Only executed blocks are shown: what is final and not executed yet has no receipts and no root, and will have them in a
moment. So *latest* is the newest executed height, and everything that one answer says is of one state.
"""

from __future__ import annotations

from typing import Any, cast

from daemon.api.contents import read_block
from daemon.api.messages import OCTET_STREAM, Answer
from daemon.api.problems import Problem, to_bytes
from daemon.api.routes import Given
from daemon.api.schemas import Account, AccountTransaction, Block, BlockSummary
from daemon.api.surroundings import Surroundings
from daemon.runtime.service import refuse_pruned
from protocol.codec import decode
from protocol.codec.json import to_json
from protocol.consensus.statements import Certificate
from protocol.errors import NOT_FOUND
from protocol.ledger.accounts import read_account
from protocol.ledger.index import Roots, account_history, executed_height, read_base, read_roots, receipt_at
from protocol.ledger.members import member_of_account
from protocol.ledger.records import Header
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader


async def latest_block(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/blocks/latest."""
    with around.node.reader() as reader:
        height = executed_height(reader) or 0
    if height == 0:
        raise Problem(NOT_FOUND, "no block is final yet")
    return Answer(200, await around.read(lambda: _block(around, height)))


async def block(around: Surroundings, given: Given) -> Answer:
    """GET /v1/blocks/{height}."""
    return Answer(200, await around.read(lambda: _block(around, given["height"])))


async def encoded_block(around: Surroundings, given: Given) -> Answer:
    """GET /v1/blocks/{height}/encoded."""
    height = given["height"]
    data = await around.read(lambda: around.node.block(height))
    if data is None:
        refuse_pruned(height, around.node.first_height)
        raise Problem(NOT_FOUND, f"block {height} is not final here")
    return Answer(200, data, OCTET_STREAM)


async def blocks(around: Surroundings, given: Given) -> Answer:
    """GET /v1/blocks."""
    with around.node.reader() as reader:
        latest = executed_height(reader) or 0
        limit = given["limit"]
        first = given["from"] if given["from"] is not None else max(1, latest - limit + 1)
        if given["from"] is None:
            first = max(first, around.node.first_height)
        else:
            refuse_pruned(first, around.node.first_height)
        heights = range(first, min(first + limit, latest + 1))
        found = [_summary(reader, height) for height in heights]
    return Answer(200, to_bytes({"blocks": found, "latest": latest}))


async def account(around: Surroundings, given: Given) -> Answer:
    """GET /v1/accounts/{account}."""
    name: bytes = given["account"]
    with around.node.reader() as reader:
        state = StateReader(reader)
        record = read_account(name, state)
        answer: Account = {
            "account": name.hex(),
            "keys": None if record is None else [key.hex() for key in record.keys],
            "threshold": 1 if record is None else record.threshold,
            "member": member_of_account(name, state),
            "height": executed_height(reader) or 0,
        }
    return Answer(200, to_bytes(answer))


async def account_transactions(around: Surroundings, given: Given) -> Answer:
    """GET /v1/accounts/{account}/transactions."""
    limit = given["limit"]
    first = 0 if given["after"] is None else given["after"] + 1
    found: list[AccountTransaction] = []
    with around.node.reader() as reader:
        base = read_base(reader)  # below it a snapshot brought no transactions along
        for index in account_history(reader, given["account"], first, limit):
            receipt = receipt_at(reader, index)
            assert receipt is not None, "the history names receipts that are there"
            found.append(
                {
                    "log_index": index,
                    "transaction": receipt.transaction.hex(),
                    "height": receipt.height,
                    "time_ms": receipt.time_ms,
                    "position": receipt.position,
                    "code": receipt.code,
                }
            )
    following = found[-1]["log_index"] if len(found) == limit else None
    from_height = 1 if base is None else base.first_height
    return Answer(200, to_bytes({"transactions": found, "next_after": following, "from_height": from_height}))


def _roots(reader: Reader, height: int) -> Roots:
    roots = read_roots(reader, height)
    if roots is None:
        raise Problem(NOT_FOUND, f"block {height} is not final and executed here")
    return roots


def _summary(reader: Reader, height: int) -> BlockSummary:
    roots, below = _roots(reader, height), _roots(reader, height - 1)
    return {
        "height": height,
        "hash": roots.header_hash.hex(),
        "time_ms": roots.time_ms,
        "transactions": roots.executed.log_size - below.executed.log_size,
        "state_root": roots.executed.state_root.hex(),
    }


def _block(around: Surroundings, height: int) -> bytes:
    """The whole block, encoded as JSON; in a thread."""
    refuse_pruned(height, around.node.first_height)
    with around.node.reader() as reader:
        roots, below = _roots(reader, height), _roots(reader, height - 1)
        transactions = []
        for index in range(below.executed.log_size, roots.executed.log_size):
            receipt = receipt_at(reader, index)
            assert receipt is not None, "the log is dense"
            transactions.append(receipt.transaction.hex())
    held = read_block(around.node, height)
    header = decode(Header, held.header)
    executed = roots.executed
    found: dict[str, Any] = {
        **to_json(header),
        "hash": roots.header_hash.hex(),
        "state_root": executed.state_root.hex(),
        "log_size": executed.log_size,
        "log_root": executed.log_root.hex(),
        "finalization": _finalization(held.finalization),
        "transactions": transactions,
    }
    return to_bytes(cast(Block, found))


def _finalization(data: bytes | None) -> dict[str, int] | None:
    if data is None:
        return None
    certificate = decode(Certificate, data)
    return {"view": certificate.view, "signers": len(certificate.signatures)}
