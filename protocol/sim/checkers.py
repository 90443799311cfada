"""What must hold, judged from what nodes persisted and said.

Independent of the code they check: bytes are decoded by the record classes and nothing else; quorums, signers,
hashes of headers and names of transactions are computed here again. `Bench` is the watcher of all hosts: it
decodes a message once, establishes which key signed which statement, and asks every checker. The first
violation ends the run.

* Agreement: no two honest nodes are final on different blocks at a height; nothing final is undone, also across
  restarts; every finalization ever seen is of a block of the one chain; equal roots at equal heights.
* Votes: C-10 and C-7, over every message ever sent and every disk.
* Durability: what an honest node acknowledged as final is in the segments of every honest node in the end, and
  where a scenario asks for it (`own_disk_suffices`) in its own after each restart.
* Liveness (judged by the world): within a bound after the last fault everything accepted is final or expired, on
  every honest node.
* Soundness: no honest node halts, fails, or breaks the order of its effects; nothing with a bad signature is accepted.
* Bounds: pools and queues stay within their limits (what `status` shows; tables and caches are to come).

To come, each as one more class: validity (an independent execution), proofs (a sample of receipts, and each
altered in one byte).

A statement counts as signed when its signature verifies, whoever said it: in a vote, a proposal, or a
certificate. Members that are byzantine in a run are held to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import limits
from protocol.codec import decode
from protocol.consensus.statements import Certificate, Proposal, VoteKind
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.members import NEXT_VALIDATORS
from protocol.ledger.records import Batch, Block, Header
from protocol.ledger.tables import Table
from protocol.node.interface import Admitted, Fate, Outcome, Refusal
from protocol.sim.facts import Signed, transactions_of
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.bench import Bench


_NEXT_VALIDATORS_KEY = NEXT_VALIDATORS.key(())


class Checker:
    """A rule. Each method looks on and may report to `bench.violated`."""

    rule = ""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def booted(self, host: Host) -> None:
        """A life begins."""

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

    def broken(self, host: Host, words: str) -> None:
        """A node stopped by itself."""

    def sampled(self, host: Host) -> None:
        """A quiet look now and then."""

    def ended(self) -> None:
        """The run is over; all honest nodes should hold the same."""

    def violated(self, words: str, host: Host | None = None) -> None:
        """Report."""
        self.bench.violated(self.rule, words, host)


class Agreement(Checker):
    """No two nodes final on different blocks; nothing final undone."""

    rule = "agreement"

    def finalization(self, host: Host, certificate: Certificate) -> None:
        """Two finalizations of a view are of one payload."""
        assert certificate.proposal is not None
        payload = certificate.proposal.payload
        at = (certificate.epoch, certificate.view)
        if self.bench.chain.finalized.setdefault(at, payload) != payload:
            self.violated(f"two payloads are final in view {certificate.view} of epoch {certificate.epoch}", host)

    def appended(self, host: Host, height: int, block: Block) -> None:
        """The block is the one that others have, and stands on the one below."""
        chain = self.bench.chain
        name = digest(Domain.HEADER, block.header)
        if height > len(chain.headers) + 1:
            self.violated(f"height {height} is final before anyone has height {height - 1}", host)
        elif height == len(chain.headers) + 1:
            self._extend(host, height, name, block)
        elif chain.headers[height - 1] != name:
            words = f"height {height} is final as {name.hex()[:8]} and as {chain.headers[height - 1].hex()[:8]}"
            self.violated(words, host)
        elif chain.batches[height - 1] != block.batches:
            self.violated(f"height {height} is stored with different batches", host)
        if block.finalization is not None:
            self._finalization_of(host, height, name, block.finalization)

    def _extend(self, host: Host, height: int, name: bytes, block: Block) -> None:
        chain = self.bench.chain
        header = decode(Header, block.header)
        below = chain.headers[-1] if chain.headers else self.bench.facts.network_id
        if header.parent != below or header.height != height:
            self.violated(f"the block at height {height} does not stand on the final one below it", host)
        if header.time_ms <= chain.time_ms:
            self.violated(f"the time of height {height} is not after its parent's (L-18)", host)
        self._epoch(host, header, finalized=block.finalization is not None)
        bodies = [decode(Batch, data).body for data in block.batches]
        if [digest(Domain.BATCH, body) for body in bodies] != [reference.digest for reference in header.references]:
            self.violated(f"the batches of height {height} are not those that its header names", host)
        chain.headers.append(name)
        chain.batches.append(block.batches)
        chain.heights[name] = height
        chain.time_ms = header.time_ms
        for transaction in transactions_of(bodies):
            chain.transactions.setdefault(transaction, height)

    def _epoch(self, host: Host, header: Header, *, finalized: bool) -> None:
        """C-21, C-22: each block is of the epoch that the last closing block began, under the set that it named."""
        chain = self.bench.chain
        expected = (chain.epoch, chain.validators_hash or header.validators_hash)
        if (header.epoch, header.validators_hash) != expected:
            self.violated(f"height {header.height} is not of epoch {chain.epoch} and its validators (C-21)", host)
        chain.validators_hash = header.next_validators_hash
        if header.next_validators_hash != header.validators_hash:
            if not self.bench.facts.epoch_ends(chain.epoch, header.next_validators_hash):
                self.violated(f"height {header.height} names next validators that no state named (L-18)", host)
            if not finalized:
                self.violated(f"height {header.height} closes an epoch without a finalization of its own", host)
            chain.epoch += 1

    def _finalization_of(self, host: Host, height: int, name: bytes, data: bytes) -> None:
        certificate = self.bench.saw(host, data)
        if certificate is None or certificate.proposal is None or certificate.proposal.payload != name:
            self.violated(f"height {height} is stored with a finalization that does not prove it", host)

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """Equal roots at equal heights; and which next set the state names."""
        del outcomes
        self._roots(host, height)
        named = host.disk.tables.get(Table.STATE, _NEXT_VALIDATORS_KEY)
        if named is not None:
            self.bench.facts.state_names(named)

    def _roots(self, host: Host, height: int) -> None:
        known = self.bench.chain.executed
        result = host.disk.executed[height - 1]
        if height == len(known) + 1:
            known.append(result)
        elif height > len(known) or known[height - 1] != result:
            self.violated(f"height {height} is executed to another result than elsewhere", host)

    def booted(self, host: Host) -> None:
        """What the segments hold, and what was replayed from them, is what all have."""
        self._segments(host)

    def ended(self) -> None:
        """All segments again from their bytes, and every finalization on the chain."""
        for host in self.bench.honest():
            self._segments(host)
        for epoch, view in self.bench.chain.unplaced():
            self.violated(f"view {view} of epoch {epoch} was finalized, but its block is in nobody's segments")

    def _segments(self, host: Host) -> None:
        for index, stored in enumerate(host.disk.blocks):
            name = digest(Domain.HEADER, decode(Block, stored.data).header)
            if self.bench.chain.headers[index : index + 1] != [name]:
                self.violated(f"the segments hold another block at height {index + 1}", host)
        for height in range(1, len(host.disk.executed) + 1):
            self._roots(host, height)


class Votes(Checker):
    """C-10 and C-7: what no honest key ever signs."""

    rule = "votes"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.by_view: dict[tuple[bytes, int, int], dict[VoteKind, Proposal | None]] = {}
        """(voting key, epoch, view) -> what was signed."""

    def signed(self, host: Host, fact: Signed) -> None:
        """Compare with what the same key signed in the same view."""
        voting_key = self.bench.facts.voters[fact.epoch].keys[fact.signer]
        if not self.bench.is_honest(voting_key):
            return
        votes = self.by_view.setdefault((voting_key, fact.epoch, fact.view), {})
        who = f"validator {fact.signer} of epoch {fact.epoch} signed in view {fact.view}"
        if fact.kind in votes:
            self.violated(f"{who} two statements {fact.kind.name.lower()}", host)
        votes[fact.kind] = fact.proposal
        if VoteKind.NULLIFY in votes and VoteKind.FINALIZE in votes:
            self.violated(f"{who} nullify and finalize", host)

    def booted(self, host: Host) -> None:
        """Every disk."""
        self.bench.read_journal(host)

    def ended(self) -> None:
        """Every disk, once more."""
        for host in self.bench.honest():
            self.bench.read_journal(host)


class Durability(Checker):
    """What was acknowledged as final stays."""

    rule = "durability"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.acknowledged: dict[bytes, int] = {}
        self.heights: dict[int, int] = {}
        """Host -> highest height that it acknowledged."""

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """What a client may now be told must be in the block that it is told of."""
        if not host.honest:
            return
        block = decode(Block, host.disk.blocks[height - 1].data)
        inside = transactions_of([decode(Batch, data).body for data in block.batches])
        self.heights[host.index] = max(self.heights.get(host.index, 0), height)
        if [outcome.transaction for outcome in outcomes] != inside:
            self.violated(f"the outcomes of height {height} are not of its envelopes, in order", host)
        for outcome in outcomes:
            if outcome.fate is Fate.FINAL and self.acknowledged.setdefault(outcome.transaction, height) != height:
                self.violated(f"transaction {outcome.transaction.hex()[:8]} is final at two heights", host)

    def started(self, host: Host) -> None:
        """After a restart a node has at least what it acknowledged before, if runs ask for that."""
        promised = self.heights.get(host.index, 0) if self.bench.own_disk_suffices else 0
        if len(host.disk.blocks) < promised:
            self.violated(f"acknowledged height {promised}, and restarts with {len(host.disk.blocks)}", host)

    def ended(self) -> None:
        """Every honest node's segments, from their bytes."""
        for host in self.bench.honest():
            held: dict[tuple[bytes, int], None] = {}
            for index, stored in enumerate(host.disk.blocks):
                bodies = [decode(Batch, data).body for data in decode(Block, stored.data).batches]
                held.update(((transaction, index + 1), None) for transaction in transactions_of(bodies))
            for transaction, height in self.acknowledged.items():
                if (transaction, height) not in held:
                    self.violated(
                        f"transaction {transaction.hex()[:8]}, acknowledged at height {height}, is not there", host
                    )


class Soundness(Checker):
    """Honest nodes neither stop nor break the rules of their own interface."""

    rule = "soundness"

    def broken(self, host: Host, words: str) -> None:
        """Any stop by itself."""
        if host.honest:
            self.violated(words, host)


class Bounds(Checker):
    """What `status` shows is within its limits."""

    rule = "bounds"

    def sampled(self, host: Host) -> None:
        """Look at the numbers."""
        if host.node is None or not host.honest:
            return
        status = host.node.status()
        authors = max(len(voters.keys) for voters in self.bench.facts.voters.values())
        for name, value, bound in (
            ("pool_envelopes", status.pool_envelopes, limits.POOL_ENVELOPES_MAX),
            ("pool_bytes", status.pool_bytes, limits.POOL_BYTES_MAX),
            ("unordered_batches", status.unordered_batches, limits.UNORDERED_BATCHES_PER_AUTHOR_MAX * authors),
        ):
            if value > bound:
                self.violated(f"{name} is {value}, more than {bound}", host)


CHECKERS: tuple[type[Checker], ...] = (Agreement, Votes, Durability, Soundness, Bounds)
"""All that look on; liveness is judged by the world, which knows when the last fault was."""
