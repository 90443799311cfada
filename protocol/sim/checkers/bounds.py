"""Bounds: pools and queues stay within their limits, as far as `status` shows them."""

from __future__ import annotations

from protocol import limits
from protocol.sim.checkers.checker import Checker
from protocol.sim.host import Host


class Bounds(Checker):
    """What `status` shows is within its limits."""

    rule = "bounds"

    def sampled(self, host: Host) -> None:
        """Look at the numbers."""
        if host.node is None or not host.honest:
            return
        status = host.node.status()
        authors = len(self.bench.facts.keys)
        for name, value, bound in (
            ("pool_envelopes", status.pool_envelopes, limits.POOL_ENVELOPES_MAX),
            ("pool_bytes", status.pool_bytes, limits.POOL_BYTES_MAX),
            ("unordered_batches", status.unordered_batches, limits.UNORDERED_BATCHES_PER_AUTHOR_MAX * authors),
        ):
            if value > bound:
                self.violated(f"{name} is {value}, more than {bound}", host)
