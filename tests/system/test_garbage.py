"""Garbage at every port of a node for a while: it lives, finalizes, its memory is flat and its log readable (L-29)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from protocol.limits import MIB
from tests.system import garbage
from tests.system.load import load_on
from tests.system.network import Network, address
from tests.system.processes import NodeProcess

SECONDS = 4.0
SECONDS_LONG = 60.0
GROWTH_KIB_MAX = 48 * MIB // 1024
"""Of the node's process: what it may hold for strangers at once (buffers of connections, bodies that are arriving)."""
WORKER_GROWTH_KIB_MAX = 16 * MIB // 1024
LINES_MAX = 60
"""Lines of the log about strangers, a minute: some kinds, a few lines each."""


async def test_garbage_at_every_port(networks: Callable[..., Network], is_long: bool) -> None:
    network = networks(4)
    await network.start()
    target = network.nodes[0]
    strangers = [
        *(garbage.random_bytes, garbage.half_open, garbage.slow, garbage.huge_heads, garbage.tls),
        *(garbage.odd_requests, garbage.preamble_then_noise(network.settings.network_id)),
    ]
    async with load_on([target], clients=2) as load:
        await load.more(50)
        before = target.anonymous_kib()
        peers_before = await _peers(target)
        async with _at_ports_of(target, strangers):
            await trio.sleep(SECONDS_LONG / 2 if is_long else SECONDS / 2)
            # In the midst of it: clients of this very node get receipts, its peers are the same.
            await load.more(10)
            middle = target.anonymous_kib()
            await trio.sleep(SECONDS_LONG / 2 if is_long else SECONDS / 2)
            await load.more(10)
            peak = target.anonymous_kib()
            assert await _peers(target) == peers_before
        await load.more(10)
    assert list(peak) == list(before), "no worker was lost"
    growth = {pid: peak[pid] - before[pid] for pid in before}
    facts = f"RssAnon in KiB before {before}, in the midst {middle}, at the end {peak}"
    assert growth[target.pid] <= GROWTH_KIB_MAX, facts
    assert all(value <= WORKER_GROWTH_KIB_MAX for pid, value in growth.items() if pid != target.pid), facts
    print(facts)  # noqa: T201
    _log_is_readable(target, is_long=is_long)
    await network.same_roots()
    for node in network.nodes:
        await load.kept_at(node)
    await network.stop()
    await network.same_history()


def _log_is_readable(node: NodeProcess, *, is_long: bool) -> None:
    """Every line is JSON, and repetition is short."""
    events = node.events()
    kinds = Counter(event["event"] for event in events)
    assert "text" not in kinds, [event for event in events if event["event"] == "text"][:3]
    assert not any(event["level"] in ("error", "critical") for event in events if "level" in event), kinds
    usual = ("block", "peer_up", "peer_down", "ready")
    others = sum(count for kind, count in kinds.items() if kind not in usual)
    assert others <= LINES_MAX * (2 if is_long else 1), kinds
    assert kinds["peer_up"] + kinds["peer_down"] <= 20, kinds


async def _peers(node: NodeProcess) -> list[str]:
    status = await node.status()
    assert status is not None
    return sorted(peer["node_key"] for peer in status["peers"])


@asynccontextmanager
async def _at_ports_of(node: NodeProcess, strangers: Sequence[garbage.Stranger]) -> AsyncIterator[None]:
    """All of them at both ports while the block runs."""
    places = [address(node.peers), address(node.url.removeprefix("http://"))]
    async with trio.open_nursery() as nursery:
        for stranger in strangers:
            for place in places:
                nursery.start_soon(stranger, place.host, place.port)
        yield
        nursery.cancel_scope.cancel()
