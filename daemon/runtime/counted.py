"""Hands whose CPU time is counted for the part whose work each effect is (daemon.observe.cpu).

The driver steps the pure node and carries out what it says in one go; without this all of it would count as consensus.
"""

from __future__ import annotations

from typing import Final

from daemon.observe.cpu import CpuClock, Part
from daemon.runtime.pump import Hands
from protocol.node.interface import (
    Answer,
    Append,
    CheckBatch,
    CheckEnvelopes,
    CheckSignatures,
    Effect,
    Execute,
    Send,
)

PARTS: Final[dict[type[Effect], Part]] = {
    CheckSignatures: Part.SIGNATURES,
    CheckEnvelopes: Part.SIGNATURES,
    CheckBatch: Part.SIGNATURES,
    Send: Part.NETWORK,
    Append: Part.STORAGE,
    Execute: Part.EXECUTION,
    Answer: Part.API,
}
"""Others are few, and count where they are carried out."""


class CountedHands:
    """`hands`, with a clock."""

    def __init__(self, hands: Hands, cpu: CpuClock) -> None:
        self._hands = hands
        self._begin = {part: cpu.timed(part, hands.begin) for part in PARTS.values()}
        self._carry_out = {part: cpu.timed(part, hands.carry_out) for part in PARTS.values()}

    def begin(self, effect: Effect) -> None:
        """Start a check or read, or tell a note."""
        part = PARTS.get(type(effect))
        (self._hands.begin if part is None else self._begin[part])(effect)

    def carry_out(self, effect: Effect) -> None:
        """Send, append, execute or answer."""
        part = PARTS.get(type(effect))
        (self._hands.carry_out if part is None else self._carry_out[part])(effect)
