"""Dissemination: batches on their way from sealed to ready to ordered (L-11, L-13, L-15).

May import ledger (records), wire, limits. Public names: `Batches`, `Held`, `State`, `Wants`, `NEEDED_TIMES`.
"""

from protocol.dissemination.batches import NEEDED_TIMES, Batches, Held, State
from protocol.dissemination.wants import Want, Wants

__all__ = ["NEEDED_TIMES", "Batches", "Held", "State", "Want", "Wants"]
