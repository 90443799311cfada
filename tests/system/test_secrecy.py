"""What somebody on the line between nodes sees: nothing of what clients send (the Noise channel)."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack

from daemon.client import Account, AsyncClient, evidence
from tests.system.network import Network, reaching
from tests.system.proxy import Recording, recording

MARKER = b"marker-4Xq9Zt7Lw2Pf8Rk3"


def forms(marker: bytes) -> list[bytes]:
    """The marker as bytes, hex and base64 at each offset, and pieces of it that a frame's border would leave."""
    hexed = marker.hex().encode()
    found = [marker, hexed, hexed.upper(), marker[:12], marker[-12:]]
    # base64 of the marker behind 0, 1 or 2 other bytes: what stays the same whatever these are
    found += [base64.b64encode(b"\0" * shift + marker)[4 if shift else 0 : -4] for shift in range(3)]
    return found


async def test_a_marker_in_a_transaction_is_never_seen_between_nodes(networks: Callable[..., Network]) -> None:
    network = networks(4)
    async with AsyncExitStack() as stack:
        lines: dict[bytes, Recording] = {}
        for node in network.nodes:
            lines[network.node_key(node)] = await stack.enter_async_context(recording(node.peers))
        places = {key: line.place for key, line in lines.items()}
        for node in network.nodes:
            own = network.node_key(node)
            told = {key: place for key, place in places.items() if key != own}
            network.edit(node, lambda file, told=told: reaching(file, told))  # type: ignore[misc]
        api = await stack.enter_async_context(recording(network.nodes[0].url.removeprefix("http://")))
        await network.start()

        account = Account.new()
        async with AsyncClient(f"http://{api.place}") as client:
            for number in range(20):
                words = f"{MARKER.decode()} {number}"
                await client.transact(account, [evidence.record_of(words.encode(), reference=words)])
        await network.same_roots()
        for node in network.nodes:
            status = await node.status()
            assert status is not None
            dialed = [peer["address"] for peer in status["peers"] if peer["dialed"]]
            assert set(dialed) <= set(places.values()), "some line is not watched"
        await network.stop()

    # The watch works: between client and node, where TLS is the operator's to add, the marker is seen.
    assert any(api.holds(form) for form in forms(MARKER))
    assert sum(line.connections for line in lines.values()) >= 6, "each pair of nodes has a line"
    traffic = b"".join(bytes(stream) for line in lines.values() for stream in line.streams)
    assert len(traffic) > 20 * 3 * len(MARKER), "what was submitted at one node went to three others"
    for form in forms(MARKER):
        assert form not in traffic
    # Nor any other pattern: it does not compress, but for preambles and lengths.
    assert len(zlib.compress(traffic, 9)) > 0.97 * len(traffic)
