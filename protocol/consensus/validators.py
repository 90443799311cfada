"""The validator set of an epoch: keys in ascending order, power, quorum, blocking power (Model)."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.errors import Malformed


@dataclass(frozen=True, slots=True)
class Validators:
    """Voting keys, distinct and ascending, and the power of each (>= 1).

    Raises Malformed if the keys are not so, or the total passes `limits.U53_MAX`.
    """

    keys: tuple[bytes, ...]
    powers: tuple[int, ...]
    total: int = field(init=False, repr=False, compare=False)
    """P, the total power."""
    quorum: int = field(init=False, repr=False, compare=False)
    """More than two thirds of the power: 2P//3 + 1."""
    blocking: int = field(init=False, repr=False, compare=False)
    """Power without which there is no quorum: P - quorum + 1."""

    def __post_init__(self) -> None:
        total = sum(self.powers)
        object.__setattr__(self, "total", total)
        object.__setattr__(self, "quorum", 2 * total // 3 + 1)
        object.__setattr__(self, "blocking", total - self.quorum + 1)
        if not 1 <= len(self.keys) == len(self.powers) <= limits.VALIDATORS_MAX:
            raise Malformed("validators", f"expected 1 to {limits.VALIDATORS_MAX} keys, and as many powers")
        if any(first >= second for first, second in zip(self.keys, self.keys[1:], strict=False)):
            raise Malformed("validators", "keys are not distinct and ascending")
        if any(power < 1 for power in self.powers) or self.total > limits.U53_MAX:
            raise Malformed("validators", "a power below 1, or a total above 2^53 - 1")

    def index_of(self, key: bytes) -> int | None:
        """Place of a voting key in the set, or None."""
        try:
            return self.keys.index(key)
        except ValueError:
            return None
