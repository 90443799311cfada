"""Snapshots: what a joiner installs is the network's, and old blocks that a node lacks are of no use to it (L-7, L-20).

At the moment at which a snapshot has become a disk's state and blocks, everything in it is compared with the one chain
and with the naive ledger: the root of all pairs of the state, by its definition; results; blocks with their batches
and finalizations; receipts; which envelopes are remembered, and no others; how epochs ended. Nothing that the joiner
computed or was told is believed.

A disk whose blocks begin above the first, because of a snapshot or a pruning, has at least those whose envelopes and
batches may still be remembered: looked at whenever a node starts on it, and in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from protocol.codec import decode
from protocol.consensus.statements import Certificate, VoteKind
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.ledger.records import Block, Header
from protocol.ledger.tables import Table
from protocol.sim.checkers.checker import Checker
from protocol.sim.checkers.naive_roots import NaiveTrie
from protocol.sim.host import Host


class Snapshots(Checker):
    """What is joined by is the network's."""

    rule = "snapshots"

    def installed(self, host: Host) -> None:
        """All that came."""
        for words in (*self._blocks(host), *self._state(host), *self._receipts(host), *self._epochs(host)):
            self.violated(words, host)

    def booted(self, host: Host) -> None:
        """What is not there."""
        self._lacks(host)

    def ended(self) -> None:
        """The same."""
        for host in self.bench.honest():
            self._lacks(host)

    # -- What is there ------------------------------------------------------------------------------

    def _blocks(self, host: Host) -> Iterator[str]:
        chain = self.bench.chain
        for height, stored in host.disk.blocks.numbered():
            block = decode(Block, stored.data)
            name = digest(Domain.HEADER, block.header)
            if chain.headers[height - 1 : height] != [name] or chain.batches[height - 1] != block.batches:
                yield f"block {height} came with a snapshot, and is another than the final one"
            elif block.finalization and not self._proves(decode(Certificate, block.finalization), name):
                yield f"block {height} came with a finalization that does not prove it"

    def _state(self, host: Host) -> Iterator[str]:
        height, results = host.disk.executed.last, self.bench.ledger.results
        if height >= len(results) or host.disk.executed.at(height) != results[height]:
            yield f"the results of height {height} came with a snapshot, and are not the network's"
            return
        trie = NaiveTrie()
        for key, value in host.disk.tables.scan(Table.STATE, b""):
            trie.put(key, value)
        if trie.root() != results[height].state_root:
            yield f"the pairs that came with a snapshot are not the state of height {height}"

    def _receipts(self, host: Host) -> Iterator[str]:
        """Those of all blocks that came; and of what is remembered neither less nor more (L-7)."""
        ledger, tables = self.bench.ledger, host.disk.tables
        height = host.disk.executed.last
        time_ms = self._time_ms(height)
        size = ledger.results[height].log_size if height < len(ledger.results) else 0
        remembered: dict[bytes, bytes] = {}
        for index, (at, name, valid_until_ms) in enumerate(ledger.names[:size]):
            there = tables.get(Table.RECEIPT, index.to_bytes(8, "big"))
            if there != ledger.log.leaves[index] and (there is not None or at >= host.disk.blocks.first):
                yield f"receipt {index} did not come with a snapshot as it is in the log"
            if valid_until_ms > time_ms:
                remembered[sha256(name).digest()[:16]] = valid_until_ms.to_bytes(7, "big") + index.to_bytes(6, "big")
        rows = sorted(name + rest for name, rest in remembered.items())
        if [row for row, _ in tables.scan(Table.SEEN, b"", limit=len(rows) + 1)] != rows:
            yield f"what is remembered of envelopes at height {height} is not what it was"
        for key, names in tables.scan(Table.SEEN_EXPIRY, b""):
            for name in (names[at : at + 16] for at in range(0, len(names), 16)):
                if int.from_bytes(remembered.pop(name, b"")[:7], "big") > int.from_bytes(key[:8], "big"):
                    yield f"an envelope that is remembered at height {height} would be forgotten too early"
        if remembered:
            yield f"envelopes that are remembered at height {height} would never be forgotten"

    def _epochs(self, host: Host) -> Iterator[str]:
        """How each epoch before the state's ended (C-22): kept beside, under a quorum of its own."""
        headers = self.bench.chain.headers
        for epoch, closed in host.disk.ended.items():
            header = decode(Header, closed.header)
            name = digest(Domain.HEADER, closed.header)
            if header.epoch != epoch or headers[header.height - 1 : header.height] != [name]:
                yield f"epoch {epoch} did not end as a snapshot says"
            elif not self._proves(closed.finalization, name):
                yield f"the end of epoch {epoch} came with a finalization that does not prove it"

    def _proves(self, certificate: Certificate, name: bytes) -> bool:
        """Whether a quorum's signatures are in it: a stranger has nothing else."""
        facts, proposal = self.bench.facts, certificate.proposal
        voters = facts.voters.get(certificate.epoch)
        if voters is None or proposal is None or proposal.payload != name or certificate.kind != VoteKind.FINALIZE:
            return False
        bits = int.from_bytes(certificate.signers, "little")
        signers = [index for index in range(len(voters.keys)) if bits >> index & 1]
        message = facts.message(certificate.epoch, VoteKind.FINALIZE, certificate.view, proposal)
        pairs = zip(signers, certificate.signatures, strict=True)
        good = [index for index, signature in pairs if facts.scheme.verify(voters.keys[index], message, signature)]
        return good == signers and sum(voters.powers[index] for index in good) >= voters.quorum

    # -- What is not there --------------------------------------------------------------------------

    def _lacks(self, host: Host) -> None:
        """No block that may still be asked about: its batch referenced again, its envelope sent again."""
        parameters, blocks = self.bench.facts.genesis.parameters, host.disk.blocks
        height = host.disk.executed.last
        if blocks.first == 1 or not height:
            return
        if blocks.first > max(1, height - parameters.batch_ttl_max):
            self.violated(f"blocks begin at {blocks.first}: references of {parameters.batch_ttl_max} are needed", host)
        since_ms = self._time_ms(height) - parameters.envelope_ttl_max_ms
        if self._time_ms(blocks.first - 1) > since_ms:
            self.violated(f"blocks begin at {blocks.first}: envelopes of the one below may still be remembered", host)

    def _time_ms(self, height: int) -> int:
        return self.bench.chain.times_ms[height - 1]
