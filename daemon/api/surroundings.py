"""What handlers are given: the node's service, its prover, and who this node is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import trio

from daemon import limits
from daemon.api.contents import Contents
from daemon.api.counters import ApiCounters
from daemon.observe.cpu import CpuClock, Part
from daemon.runtime.mender import ScrubStatus
from daemon.runtime.proving import Prover
from daemon.runtime.service import NodeService
from protocol.apps.registry import rules_at
from protocol.ledger.application import Rules
from protocol.ledger.genesis import network_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose node this is: public keys (32 bytes) and the member's name, None where it has none."""

    node_key: bytes
    voting_key: bytes | None
    member: str | None


class Documents(Protocol):
    """What is written from the table, made when it is first asked for (`openapi.TableDocuments`)."""

    def openapi(self) -> bytes:
        """JSON."""
        ...

    def page(self) -> bytes:
        """HTML."""
        ...


class StoreKeeper(Protocol):
    """What reads the disk again in the background (`daemon.runtime.mender.Mender`)."""

    @property
    def status(self) -> ScrubStatus:
        """How far it is."""
        ...

    @property
    def damaged_count(self) -> int:
        """Blocks known to be damaged."""
        ...

    def request(self) -> None:
        """Begin a pass now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """See the essay.

    free_bytes: of the data directory's disk, None if that cannot be told. metrics: the text of `/metrics`.
    monotonic: a clock in seconds; started_seconds: what it showed when the API began. cpu: counts what
    is done in threads, if that is wanted.
    """

    node: NodeService
    prover: Prover
    identity: Identity
    counters: ApiCounters
    free_bytes: Callable[[], int | None]
    metrics: Callable[[], bytes]
    monotonic: Callable[[], float]
    started_seconds: float
    documents: Documents
    keeper: StoreKeeper
    cpu: CpuClock | None = None
    cors_origins: tuple[str, ...] = ()
    network_id: bytes = field(init=False)
    contents: Contents = field(init=False)
    _reads: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(limits.API_THREADS_MAX))
    _proofs: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(limits.API_PROOF_THREADS_MAX))

    def __post_init__(self) -> None:
        object.__setattr__(self, "network_id", network_id(self.node.genesis))
        object.__setattr__(self, "contents", Contents(self.node, self.read))

    def rules(self, height: int) -> Rules:
        """The rules that hold for a block of that height (L-23)."""
        return rules_at(self.node.genesis, height)

    async def read(self, work: Callable[[], T]) -> T:
        """Something that reads the disk, in a thread."""
        return await trio.to_thread.run_sync(self._counted(work), limiter=self._reads)

    async def prove(self, work: Callable[[], T]) -> T:
        """Something that hashes and verifies for milliseconds, in a thread."""
        return await trio.to_thread.run_sync(self._counted(work), limiter=self._proofs)

    def _counted(self, work: Callable[[], T]) -> Callable[[], T]:
        return work if self.cpu is None else self.cpu.in_thread(Part.API, work)
