"""Pace: how long to wait, and for whom (C-3, C-13, C-14).

Timers grow with the distance between the current view and the highest final one, so that everyone's grow
alike without a word, also when views are notarized but never final, and fall back at once. A leader that
has shown no sign of life since its previous turn is not waited for.

All in integer milliseconds: the factor 1.5^k is 3^k // 2^k in thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.consensus.rotation import Rotation


@dataclass(frozen=True, slots=True)
class Tempo:
    """The times of one network, in ms; `backoff_max` is a factor."""

    delta_ms: int
    idle_interval_ms: int
    retry_interval_ms: int
    backoff_max: int

    @property
    def forward_ms(self) -> int:
        """How long a new certificate waits for a peer to show that it has it anyway, before it is sent."""
        return max(1, self.delta_ms // 4)

    def pace_ms(self, round_ms: int, execution_ms: int) -> int:
        """The least time between a proposal and the next one, by what the last round and execution took (C-15)."""
        return min(max(self.delta_ms // 8, 3 * round_ms, 2 * execution_ms), self.pace_max_ms)

    @property
    def pace_max_ms(self) -> int:
        """No leader holds back for longer: half of Δ."""
        return self.delta_ms // 2

    @property
    def leader_ms(self) -> int:
        """How long a leader is waited for, without back-off (C-3)."""
        return 2 * self.delta_ms + self.pace_max_ms

    @property
    def view_ms(self) -> int:
        """How long a view may last, without back-off (C-3)."""
        return 3 * self.delta_ms + self.pace_max_ms

    def scaled(self, base_ms: int, view: int, final_view: int) -> int:
        """`base_ms` under the back-off of C-14."""
        steps = max(0, view - final_view - 2)
        # 1.5^40 is past any cap; without the bound the integers would grow with the outage.
        steps = min(steps, 40)
        grown: int = 1000 * 3**steps // 2**steps
        factor = min(self.backoff_max * 1000, grown)
        return base_ms * factor // 1000


class Activity:
    """When each validator last showed that it follows: the highest view it signed anything for."""

    def __init__(self, count: int, start_view: int, now_ms: int) -> None:
        self.highest = [0] * count
        self.risen_ms = [now_ms] * count
        self.start_view = start_view

    def signed(self, signer: int, view: int, now_ms: int) -> None:
        """A statement by `signer` for `view` has come. Old statements sent again do not count."""
        if view > self.highest[signer]:
            self.highest[signer] = view
            self.risen_ms[signer] = now_ms

    def inactive(self, rotation: Rotation, view: int, now_ms: int, delta_ms: int) -> bool:
        """Whether the leader of `view` is not worth waiting for (C-13)."""
        previous = rotation.previous_turn(view)
        if previous is None or view < self.start_view + rotation.length:
            return False
        leader = rotation.leader(view)
        return self.highest[leader] < previous and now_ms - self.risen_ms[leader] >= 3 * delta_ms
