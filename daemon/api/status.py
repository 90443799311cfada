"""The network, this node, its health, its metrics, and the first page.

*Ready* means: worth sending a client here. The node has caught up with what it knows of its network, executes what
becomes final, and is not stopping. *Live* means only that the process answers; whoever restarts processes asks that.
"""

from __future__ import annotations

from typing import Final, Literal, cast

from daemon import VERSION
from daemon.api.messages import HTML, METRICS, Answer
from daemon.api.problems import Problem, to_bytes
from daemon.api.routes import Given
from daemon.api.schemas import Landing, MemberOf, Network, Node, PeerOf, StoreHealth
from daemon.api.surroundings import Surroundings
from daemon.net.interface import PeerStatus
from protocol.codec import encode
from protocol.codec.json import to_json
from protocol.consensus.validators import Validators
from protocol.errors import NOT_READY, STOPPING
from protocol.ledger.genesis import GenesisMember, member_account
from protocol.node.setup import NodeStatus

MemoryPhase = Literal["known", "asking", "amnesiac", "probation"]
BEHIND_HEIGHTS: Final = 8
"""A node that lacks more than so many blocks, or execution of so many, is not ready."""

LANDING: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Papilio node</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto; padding: 0 1.25rem }}
code {{ overflow-wrap: anywhere; font-size: .9em }} a {{ color: #5b3cc4 }}
@media (prefers-color-scheme: dark) {{ a {{ color: #b9a5ff }} }}
</style>
<h1>Papilio</h1>
<p>This is the HTTP API of a node of the network <strong>{name}</strong>: a permissioned ledger that institutions
run together, whose receipts verify offline.</p>
<p><a href="/docs">Documentation</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/v1/node">this node</a> ·
<a href="/v1/network">the network</a> · <a href="/v1/blocks">blocks</a> · <a href="/metrics">metrics</a></p>
<p><small>Network id <code>{network_id}</code><br>Papilio {version}</small></p>
</html>
"""
PAGE_POLICY: Final = (
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""Pages hold their style inline, and nothing that runs."""

_CACHED: Final = (("cache-control", "max-age=300"),)
"""It changes with the program only."""


async def landing(around: Surroundings, given: Given) -> Answer:
    """GET /: a page for browsers, JSON for everyone else."""
    name, network_id = around.node.genesis.name, around.network_id.hex()
    if "text/html" in given.request.headers.get("accept", ""):
        page = LANDING.format(name=_escaped(name), network_id=network_id, version=VERSION)
        return Answer(200, page.encode(), HTML, (PAGE_POLICY, ("vary", "accept")))
    answer: Landing = {
        "product": "papilio",
        "version": VERSION,
        "network": name,
        "network_id": network_id,
        "docs": "/docs",
        "openapi": "/openapi.json",
    }
    return Answer(200, to_bytes(answer), headers=(("vary", "accept"),))


async def network(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/network."""
    genesis = around.node.genesis
    status = around.node.status()
    keys = tuple(validator.voting_key for validator, _ in status.validators)
    present = Validators(keys, tuple(power for _, power in status.validators))
    answer: Network = {
        "name": genesis.name,
        "network_id": around.network_id.hex(),
        "created_ms": genesis.created_ms,
        "protocol": {"rules": around.rules(status.executed_height + 1).version},
        "epoch": status.epoch,
        "quorum_power": present.quorum,
        "total_power": present.total,
        "members": [_member(member) for member in genesis.members],
        "validators": [
            {
                "member": validator.member,
                "node_key": validator.node_key.hex(),
                "voting_key": validator.voting_key.hex(),
                "power": power,
            }
            for validator, power in status.validators
        ],
        "observers": [{"member": o.member, "node_key": o.node_key.hex()} for o in genesis.observers],
        "parameters": to_json(genesis.parameters),
        "genesis": encode(genesis).hex(),
    }
    return Answer(200, to_bytes(answer))


async def node(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/node."""
    status, identity = around.node.status(), around.identity
    answer: Node = {
        "version": VERSION,
        "node_key": identity.node_key.hex(),
        "voting_key": None if identity.voting_key is None else identity.voting_key.hex(),
        "member": identity.member,
        "voting": status.voting,
        "memory": {
            "phase": cast("MemoryPhase", status.memory),
            "vote_floor": status.vote_floor,
            "waiting_for": [_member_of(status, key) for key in status.memory_missing],
        },
        "ready": not _why_not_ready(around, status),
        "uptime_ms": int((around.monotonic() - around.started_seconds) * 1000),
        "epoch": status.epoch,
        "view": status.view,
        "leader": status.leader,
        "final_height": status.final_height,
        "final_hash": status.final_hash.hex(),
        "final_time_ms": status.final_time_ms,
        "executed_height": status.executed_height,
        "state_root": status.state_root.hex(),
        "log_size": status.log_size,
        "log_root": status.log_root.hex(),
        "covered_height": status.covered_height,
        "pool_envelopes": status.pool_envelopes,
        "pool_bytes": status.pool_bytes,
        "unordered_batches": status.unordered_batches,
        "peers": [_peer(peer) for peer in around.node.peers()],
        "hears": [peer.hex() for peer in status.hears],
        "sync": {
            "syncing": status.syncing_to_height > status.final_height,
            "target_height": status.syncing_to_height,
            "left_seconds": around.node.left_seconds,
        },
        "first_height": around.node.first_height,
        "disk": {"free_bytes": around.free_bytes()},
    }
    return Answer(200, to_bytes(answer))


async def store_health(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/node/store."""
    return Answer(200, to_bytes(_store_health(around)))


async def scrub(around: Surroundings, _given: Given) -> Answer:
    """POST /v1/node/scrub. Whoever can post it can make the node read its disk at the rate at which it does anyway."""
    around.keeper.request()
    return Answer(200, to_bytes(_store_health(around)))


def _store_health(around: Surroundings) -> StoreHealth:
    status = around.keeper.status
    return {
        "scrubbing": status.running,
        "height": status.height,
        "last_height": status.last_height,
        "passes": status.passes,
        "blocks": status.blocks,
        "damaged": around.keeper.damaged_count,
        "found": status.found,
        "mended": status.mended,
    }


async def live(_around: Surroundings, _given: Given) -> Answer:
    """GET /v1/health/live."""
    return Answer(200, b'{"status":"live"}')


async def ready(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/health/ready."""
    if around.node.progress.stopping:
        raise Problem(STOPPING, "this node is shutting down; use another")
    words = _why_not_ready(around, around.node.status())
    if words:
        raise Problem(NOT_READY, words)
    return Answer(200, b'{"status":"ready"}')


async def metrics(around: Surroundings, _given: Given) -> Answer:
    """GET /metrics."""
    return Answer(200, around.metrics(), METRICS)


async def openapi(around: Surroundings, _given: Given) -> Answer:
    """GET /openapi.json."""
    return Answer(200, await around.prove(around.documents.openapi), headers=_CACHED)


async def docs(around: Surroundings, _given: Given) -> Answer:
    """GET /docs."""
    return Answer(200, await around.prove(around.documents.page), HTML, (PAGE_POLICY, *_CACHED))


def _why_not_ready(around: Surroundings, status: NodeStatus) -> str:
    """In words; empty if it is ready."""
    if around.node.progress.stopping:
        return "this node is shutting down"
    if status.disk_full:
        return "the disk is nearly full or takes no writes: this node accepts nothing until it does"
    if status.syncing_to_height > status.final_height + BEHIND_HEIGHTS:
        return f"catching up: final height {status.final_height} of {status.syncing_to_height}"
    if status.final_height > status.executed_height + BEHIND_HEIGHTS:
        return f"executing: height {status.executed_height} of {status.final_height}"
    return ""


def _member_of(status: NodeStatus, voting_key: bytes) -> str:
    """The member whose validator this is in the present epoch."""
    return next(node.member for node, _ in status.validators if node.voting_key == voting_key)


def _member(member: GenesisMember) -> MemberOf:
    return {
        "name": member.name,
        "account": member_account(member).hex(),
        "keys": [key.hex() for key in member.keys],
        "threshold": member.threshold,
    }


def _peer(peer: PeerStatus) -> PeerOf:
    return {
        "node_key": peer.connected.node_key.hex(),
        "role": peer.connected.role.value,
        "address": peer.connected.address,
        "dialed": peer.connected.dialed,
        "connected_ms": int(peer.seconds * 1000),
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
