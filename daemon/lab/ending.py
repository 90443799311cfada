"""When the last fault is over: the network owes progress, proofs, and whole disks.

Every node gets something new to record. Then the run waits until all that was posted is final, expired or refused for
good, and every node has executed all of it. How long that took is told beside the scenario's bound, which is about the
network and not about how busy this machine is; only a network in which nothing gets done for far longer has failed
(liveness). Receipts are then proven by the nodes and verified here, offline, as a stranger would.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

import trio

from daemon.bench.http import HttpConnection
from daemon.client import AsyncClient, ClientError
from daemon.demo.nodes import ASK_AGAIN_SECONDS
from daemon.lab.load import Clients
from daemon.lab.nodes import LabNode
from daemon.lab.stage import Stage
from protocol.codec import encode
from protocol.proofs.finality import ProofRefused
from protocol.proofs.verify import verify_receipt_proof

PATIENCE_SECONDS_MIN: Final = 120.0
PATIENCE_BOUNDS: Final = 4
"""Without any progress: so many times the scenario's bound, and the minimum at least."""
ROUNDS_MAX: Final = 5
"""Times that patience begins anew because something became final meanwhile, on a machine that is busy, say."""
PROOFS: Final = 8
PROOF_SECONDS: Final = 60.0
MEND_SECONDS: Final = 120.0


def bound_ms(stage: Stage) -> int:
    """Within which the scenario wants the network at rest."""
    return stage.scenario.bound_deltas * stage.scenario.delta_ms


async def settle(stage: Stage, clients: Clients) -> int | None:
    """Wait until nothing is owed; how long that took, ms. None, and a violation, if it never came."""
    began_ms = stage.now_ms()
    clients.end()
    clients.insist()
    patience = max(PATIENCE_SECONDS_MIN, PATIENCE_BOUNDS * bound_ms(stage) / 1000)
    for _ in range(ROUNDS_MAX):
        before = _left(stage, clients)
        with trio.move_on_after(patience):
            await _rest(stage, clients)
            stage.moments.tell("nothing is owed, and every node has all of it")
            return stage.now_ms() - began_ms
        if _left(stage, clients) >= before:
            break
    behind = [str(seen.executed_height if seen.answers else "silent") for seen in stage.watcher.seen]
    words = f"nothing has changed for {patience:.0f} s, and {len(clients.owed)} envelopes have no outcome"
    stage.violated("liveness", f"{words} (executed heights {', '.join(behind)})")
    return None


async def _rest(stage: Stage, clients: Clients) -> None:
    await clients.settled()
    goal = _goal(clients)
    await stage.watcher.until(lambda: all(seen.answers and seen.executed_height >= goal for seen in stage.watcher.seen))


def _goal(clients: Clients) -> int:
    """The highest block that holds something a client saw."""
    return max((receipt.height for receipt in clients.receipts.values()), default=0)


def _left(stage: Stage, clients: Clients) -> tuple[int, int]:
    """What is missing still: envelopes without an outcome, then blocks that nodes have not executed."""
    goal = _goal(clients)
    return len(clients.owed), sum(max(0, goal - seen.executed_height) for seen in stage.watcher.seen)


async def prove(stage: Stage, clients: Clients, generator: Random) -> str:
    """Verify a sample of receipts; in words what was done."""
    genesis = encode(stage.made.network.genesis)
    chosen = generator.sample(sorted(clients.receipts), min(PROOFS, len(clients.receipts)))
    proven = 0
    for place, transaction in enumerate(chosen):
        node = stage.nodes[place % len(stage.nodes)]
        try:
            async with AsyncClient(node.url) as client:
                data = await client.proof(transaction, timeout_seconds=PROOF_SECONDS)
            verified = verify_receipt_proof(genesis, data)
        except (ClientError, ProofRefused) as fault:
            stage.violated("proofs", f"receipt {transaction.hex()[:16]} is not proven: {fault}", node.index)
            continue
        receipt = clients.receipts[transaction]
        if (verified.receipt.height, verified.receipt.code) != (receipt.height, receipt.code):
            stage.violated("proofs", f"another receipt of {transaction.hex()[:16]} is proven than was seen", node.index)
        if _verifies(genesis, _altered(data, generator)):
            stage.violated("proofs", f"a proof of {transaction.hex()[:16]} verifies with a bit turned over", node.index)
        proven += 1
    return f"{proven} of {len(chosen)} receipts proven by nodes and verified; none with a bit turned over"


def _altered(data: bytes, generator: Random) -> bytes:
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]


def _verifies(genesis: bytes, data: bytes) -> bool:
    try:
        verify_receipt_proof(genesis, data)
    except ProofRefused:
        return False
    return True


async def mend(stage: Stage, damaged: list[LabNode]) -> None:
    """Let nodes whose disk was damaged read all of it, and wait until their peers have given them what is lost."""
    for node in damaged:
        with trio.move_on_after(MEND_SECONDS) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_scrub, node)
        if patience.cancelled_caught:
            stage.violated("durability", f"a damaged block was not mended within {MEND_SECONDS:.0f} s", node.index)


async def _scrub(node: LabNode) -> None:
    connection = await HttpConnection.open(node.api)
    try:
        passes = int((await _health(connection))["passes"])
        await connection.ask("POST", "/v1/node/scrub")
        while True:
            found = await _health(connection)
            if int(found["passes"]) > passes and not int(found["damaged"]):
                return
            await trio.sleep(ASK_AGAIN_SECONDS)
    finally:
        connection.close()


async def _health(connection: HttpConnection) -> dict[str, Any]:
    _, body = await connection.ask("GET", "/v1/node/store")
    found: dict[str, Any] = json.loads(body)
    return found
