"""What the conductor and its generators tell each other.

A generator is started with its plan as one line of JSON on standard input. It signs, connects, and says `ready`; it is
told `go SECONDS` (of the monotonic clock, which all processes of a machine share) and, if it follows, `until LOG_SIZE`;
it writes what it saw into a file and ends. End of input ends it at any time.

Results are msgpack: lists of numbers by the million are neither pleasant nor quick as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgpack

NO_ANSWER: Final = "no_answer"
"""Where no node answered: not a code of the ledger's."""
Address = tuple[str, int]
"""Host and port of a node's API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPlan:
    """Sign and send.

    first: number of the run's first envelope. requests: of all generators together, `each` envelopes in one;
    envelopes_a_second: of all together; None: as fast as nodes take them, each connection one after the other, and
    again what is refused for pressure. burst: see `arithmetic.due_times`. index, generators: which share is this one's.
    connections: this one's. ask: wait for each receipt at a node after the one posted to. prove_every: and for each so
    many, for its proof.
    """

    role: Literal["post"] = "post"
    network: str
    seed: str
    issuer: str
    workload: str
    targets: list[Address]
    first: int
    requests: int
    each: int
    envelopes_a_second: float | None
    burst: float
    index: int
    generators: int
    connections: int
    ask: bool
    prove_every: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPlan:
    """Follow event streams of these nodes. receipts: or blocks alone. prove_every: as in PostPlan, at the first."""

    role: Literal["follow"] = "follow"
    targets: list[Address]
    receipts: bool
    prove_every: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BystandPlan:
    """Be there: clients that cost a node something and ask for nothing (bystanders.py).

    idle: connections to each node on which nothing is said. slow: event streams of each node that are read at
    `bystanders.SLOW_BYTES_A_SECOND`.
    """

    role: Literal["bystand"] = "bystand"
    targets: list[Address]
    idle: int
    slow: int
    out: str


@dataclass(slots=True)
class Posted:
    """One envelope: id, whether it was good, which node took it, when due and answered, and a refusal's code or ""."""

    transaction: bytes
    good: bool
    target: int
    due: float
    answered: float
    code: str


@dataclass(slots=True)
class Seen:
    """What was seen by one generator.

    final: transaction to (when seen final, code), for each node followed. provable: transaction to when its proof was
    there. blocks: (height, log size, when seen) at the first node followed. cpu_seconds: since `go`. late_s: by how
    much the latest request left after it was due. resent: posts that were sent again after a connection broke.
    statuses: answers to posts, by HTTP status. posted_bytes: of all good envelopes. bystanders: what became of them, by
    words. health: (when asked, seconds, HTTP status or 0) of each question whether a node is ready.
    """

    posted: list[Posted]
    final: list[dict[bytes, tuple[float, str]]]
    provable: dict[bytes, float]
    blocks: list[tuple[int, int, float]]
    cpu_seconds: float = 0.0
    late_s: float = 0.0
    resent: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    posted_bytes: int = 0
    bystanders: dict[str, int] = field(default_factory=dict)
    health: list[tuple[float, float, int]] = field(default_factory=list)

    @classmethod
    def nothing(cls, nodes: int) -> Seen:
        """Before the start."""
        return cls([], [{} for _ in range(nodes)], {}, [])

    def write(self, file: Path) -> None:
        """To a file, whole."""
        file.write_bytes(msgpack.packb(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Seen:
        """What `write` wrote."""
        value: dict[str, Any] = msgpack.unpackb(file.read_bytes(), strict_map_key=False)
        value["posted"] = [Posted(**one) for one in value["posted"]]
        value["final"] = [{key: (at, code) for key, (at, code) in node.items()} for node in value["final"]]
        value["blocks"] = [(height, size, at) for height, size, at in value["blocks"]]
        value["health"] = [(at, took, status) for at, took, status in value["health"]]
        return cls(**value)


Plan = PostPlan | FollowPlan | BystandPlan
_PLANS: Final = {"post": PostPlan, "follow": FollowPlan, "bystand": BystandPlan}


def write_plan(plan: Plan) -> bytes:
    """One line."""
    return json.dumps(asdict(plan)).encode() + b"\n"


def read_plan(line: bytes) -> Plan:
    """What `write_plan` wrote."""
    value: Mapping[str, Any] = json.loads(line)
    targets = [(str(host), int(port)) for host, port in value["targets"]]
    plan: Plan = _PLANS[value["role"]](**{**value, "targets": targets})
    return plan
