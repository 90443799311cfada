"""What a checker is: a rule, and the moments at which it may look on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.consensus.statements import Certificate
from protocol.ledger.records import Block
from protocol.node.interface import Admitted, Outcome, Refusal
from protocol.sim.facts import Signed
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.bench import Bench


class Checker:
    """A rule. Each method looks on and may report to `bench.violated`."""

    rule = ""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def booted(self, host: Host) -> None:
        """A life begins."""

    def installed(self, host: Host) -> None:
        """A snapshot has become the disk's state and blocks."""

    def started(self, host: Host) -> None:
        """The node has taken up what its disk held."""

    def signed(self, host: Host, fact: Signed) -> None:
        """A statement was seen for the first time."""

    def finalization(self, host: Host, certificate: Certificate) -> None:
        """A good finalization was seen."""

    def appended(self, host: Host, height: int, block: Block) -> None:
        """A final block."""

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """Its outcomes; clients are told."""

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """A client's envelopes were judged."""

    def presented(self, host: Host, proof: bytes) -> None:
        """A liar showed a client this encoded receipt proof."""

    def broken(self, host: Host, words: str) -> None:
        """A node stopped by itself."""

    def sampled(self, host: Host) -> None:
        """A quiet look now and then."""

    def ended(self) -> None:
        """The run is over; all honest nodes should hold the same."""

    def violated(self, words: str, host: Host | None = None) -> None:
        """Report."""
        self.bench.violated(self.rule, words, host)
