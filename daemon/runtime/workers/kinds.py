"""What workers can be asked, and what they are told at their start. Imported by both sides, so it imports little."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Urgency(IntEnum):
    """Lower goes first."""

    CONSENSUS = 0
    BULK = 1


class CheckKind(IntEnum):
    """What a verify worker can be asked."""

    SIGNATURES = 1
    ENVELOPES = 2
    BATCH = 3


class VerifyNeeds(NamedTuple):
    """genesis: encoded. state: directory of the state store. member: whose node this is if it seals batches."""

    genesis: bytes
    state: str
    member: str | None


class ExecuteNeeds(NamedTuple):
    """genesis: encoded. state: directory of the state store. inherited: of the one that the network began with, if it

    goes on from another (inherit.py).
    """

    genesis: bytes
    state: str
    inherited: str = ""


STATE_JOB: Final = -1
"""Number under which the execute worker says, once it has opened the state, [height, why it was dropped or nil]."""
