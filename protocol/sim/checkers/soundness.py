"""Soundness: honest nodes neither stop by themselves nor break the rules of their own interface.

But one that runs beside a second machine with its key may stop: one of the two has to (C-24).
"""

from __future__ import annotations

from protocol.sim.checkers.checker import Checker
from protocol.sim.host import Host


class Soundness(Checker):
    """Honest nodes neither stop nor break the rules of their own interface."""

    rule = "soundness"

    def broken(self, host: Host, words: str) -> None:
        """Any stop by itself."""
        if host.honest and not host.may_stop:
            self.violated(words, host)
