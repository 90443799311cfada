"""Whether the figures may be believed: what every node's own disk holds, beside what clients were told.

On each disk: every transaction that a client saw final is there with that code; every good one that was accepted is
there; none with a bad signature is; and all nodes have one state root and one log root at one height. The disks are
read by this process, beside the running nodes. With `recompute` a separate process executes each history again from
genesis, checking every signature and certificate: that takes as long as it takes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from daemon.bench.network import Stand
from daemon.demo.commands import auditing, environment
from daemon.store.directory import open_to_read
from protocol.errors import OK
from protocol.ledger.index import locate, read_roots, receipt_at

WRONG_SHOWN: Final = 5
ABSENT: Final = "absent"
"""Where a transaction is not on a disk; no code of the ledger's."""


@dataclass(slots=True)
class Sent:
    """What clients know of all that was sent.

    good: taken by a node, with the code that was seen ("" if none was). bad: with a bad signature. refused: good ones
    that a node refused, so nobody may have executed them. doubtful: good ones that no node answered for.
    """

    good: dict[bytes, str] = field(default_factory=dict)
    doubtful: set[bytes] = field(default_factory=set)
    bad: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)


async def judge(stand: Stand, sent: Sent, *, recompute: bool, was_killed: bool) -> dict[str, Any]:
    """What was found, and in `wrong` what must not be.

    was_killed: a node was; what it had taken and not sealed is gone with it, and is counted as absent only.
    """
    wrong: list[str] = []
    statuses = await stand.statuses()
    height = min(status["executed_height"] for status in statuses)
    roots: dict[str, dict[str, Any]] = {}
    on_disks: dict[str, dict[str, int]] = {}
    for node in stand.nodes:
        block = await node.first_answer(f"/v1/blocks/{height}")
        roots[node.member] = {name: block[name] for name in ("state_root", "log_root", "log_size")}
        codes, faults = await trio.to_thread.run_sync(_read_disk, stand, node.data_directory, height, sent, block)
        if codes[ABSENT] and not was_killed:
            faults.append(f"{codes[ABSENT]} transactions that a node had taken are not on its disk")
        on_disks[node.member] = dict(sorted(codes.items()))
        wrong += [f"{node.member}: {words}" for words in faults]
    if len({tuple(root.values()) for root in roots.values()}) != 1:
        wrong.append(f"the nodes differ at height {height}: {roots}")
    return {
        "height": height,
        "state_root": roots[stand.nodes[0].member]["state_root"],
        "log_root": roots[stand.nodes[0].member]["log_root"],
        "receipts_by_disk": on_disks,
        "bad_signatures_sent": len(sent.bad),
        "recomputed": await _recomputed(stand, height, wrong) if recompute else None,
        "wrong": wrong,
    }


def _read_disk(
    stand: Stand, directory: Path, height: int, sent: Sent, shown: Mapping[str, Any]
) -> tuple[Counter[str], list[str]]:
    """Codes of the sent transactions' receipts on one disk, and what is wrong with it."""
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    onlooker = open_to_read(directory, stand.network.network_id)
    try:
        with onlooker.state.reader() as reader:
            roots = read_roots(reader, height)
            if roots is None or roots.executed.state_root.hex() != shown["state_root"]:
                wrong.append(f"its disk has another state root at height {height} than it shows")
            for transaction, code in sent.good.items():
                place = locate(reader, transaction)
                receipt = None if place is None else receipt_at(reader, place.log_index)
                found = "" if receipt is None else receipt.code
                codes[found or ABSENT] += 1
                if code and found != code:
                    wrong.append(f"{transaction.hex()} was seen with {code}, on disk is {found or 'nothing'}")
            there = [bad for bad in sent.bad if locate(reader, bad) is not None]
            if there:
                wrong.append(f"{len(there)} envelopes with a bad signature were executed")
            there = [refused for refused in sent.refused if locate(reader, refused) is not None]
            if there:
                wrong.append(f"{len(there)} envelopes that a node had refused were executed")
        if onlooker.segments.last_height < height:
            wrong.append(f"its segments end at {onlooker.segments.last_height}, below height {height}")
    finally:
        onlooker.close()
    left = [f"... and {len(wrong) - WRONG_SHOWN} more"] if len(wrong) > WRONG_SHOWN else []
    return codes, wrong[:WRONG_SHOWN] + left


async def _recomputed(stand: Stand, height: int, wrong: list[str]) -> dict[str, str]:
    """State roots that each disk's history executes to."""
    found = {}
    for node in stand.nodes:
        command = auditing(stand.network.file, node.data_directory, height)
        done = await trio.run_process(command, capture_stdout=True, check=False, env=environment())
        told = json.loads(done.stdout or "{}")
        wrong += [f"{node.member}, computed again: {words}" for words in told.get("wrong", ["nothing came out"])]
        found[node.member] = str(told.get("state_root"))
    if len(set(found.values())) != 1:
        wrong.append(f"the disks execute to different states: {found}")
    return found


def all_ok(found: Mapping[str, Any]) -> int:
    """Transactions with code ok on every disk."""
    return min((codes.get(OK, 0) for codes in found["receipts_by_disk"].values()), default=0)
