"""What the conductor and its generators tell each other.

A generator is started with its plan as one line of JSON on standard input. It signs, connects, and says `ready`; it is
told `go SECONDS` (of the monotonic clock, which all processes of a machine share) and, if it follows, `until LOG_SIZE`;
it writes what it saw into a file and ends. End of input ends it at any time.

Results are msgpack: lists of numbers by the million are neither pleasant nor quick as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
    envelopes_a_second: of all together. index, generators: which share is this one's. connections: this one's.
    ask: wait for each receipt at the node after the one posted to. prove_every: and for each so many, for its proof.
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
    envelopes_a_second: float
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
    """

    posted: list[Posted]
    final: list[dict[bytes, tuple[float, str]]]
    provable: dict[bytes, float]
    blocks: list[tuple[int, int, float]]
    cpu_seconds: float = 0.0
    late_s: float = 0.0
    resent: int = 0

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
        return cls(**value)


def write_plan(plan: PostPlan | FollowPlan) -> bytes:
    """One line."""
    return json.dumps(asdict(plan)).encode() + b"\n"


def read_plan(line: bytes) -> PostPlan | FollowPlan:
    """What `write_plan` wrote."""
    value: Mapping[str, Any] = json.loads(line)
    targets = [(str(host), int(port)) for host, port in value["targets"]]
    kind = PostPlan if value["role"] == "post" else FollowPlan
    return kind(**{**value, "targets": targets})
