"""Agreement: no two nodes final on different blocks, nothing final undone, equal roots at equal heights.

Every finalization ever seen, by whomever said, is of a block of the one chain; what a disk holds at each boot and in
the end is that chain, and what was executed there what everyone else computed.
"""

from __future__ import annotations

from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.members import NEXT_VALIDATORS
from protocol.ledger.records import Batch, Block, Header
from protocol.ledger.tables import Table
from protocol.node.interface import Outcome
from protocol.sim.checkers.checker import Checker
from protocol.sim.facts import transactions_of
from protocol.sim.host import Host

_NEXT_VALIDATORS_KEY = NEXT_VALIDATORS.key(())


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
        chain.times_ms.append(header.time_ms)
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
        result = host.disk.executed.at(height)
        assert result is not None, "it was executed here, or came with a snapshot"
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
        for height, stored in host.disk.blocks.numbered():
            name = digest(Domain.HEADER, decode(Block, stored.data).header)
            if self.bench.chain.headers[height - 1 : height] != [name]:
                self.violated(f"the segments hold another block at height {height}", host)
        for height, _ in host.disk.executed.numbered():
            self._roots(host, height)
