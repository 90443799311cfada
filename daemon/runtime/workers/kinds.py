"""What workers can be asked, and what they are told at their start. Imported by both sides, so it imports little."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

EXECUTE: Final = "daemon.runtime.workers.execute"
"""Module of the execute worker."""
VERIFY: Final = "daemon.runtime.workers.verify"
"""Module of a verify worker."""
ENVIRONMENT: Final = frozenset(
    {"PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONHASHSEED", "PYTHONWARNINGS", "LD_LIBRARY_PATH"}
)
"""Environment that a worker gets: nothing that somebody may have put a secret into."""


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
