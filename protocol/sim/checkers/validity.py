"""Validity: every final block is valid, and every receipt and root is what an independent execution gives (L-7, L-18).

The chain is judged block by block, once, when the first node calls a block final, from the block's bytes and what was
said before: nothing of `protocol.ledger.blocks` or `protocol.ledger.execution` is used. Who leads a view is worked out
again, signatures of batches and envelopes are verified, references are held against all blocks below, *executed*
against the naive ledger. Then every node's results, outcomes and stored receipts are compared with the naive ledger's.

What depends on the clock of who votes (a time too far ahead is *later*) leaves no trace in a block and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from protocol import limits
from protocol.codec import decode, encode
from protocol.consensus.rotation import LeaderSeed
from protocol.consensus.statements import Proposal
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.ledger.genesis import ValidatorPower, ValidatorSet
from protocol.ledger.records import Batch, BatchBody, Block, Envelope, EnvelopeBody, Executed, Header, Reference
from protocol.ledger.tables import Table
from protocol.node.interface import Fate, Outcome
from protocol.sim.checkers.checker import Checker
from protocol.sim.facts import Signed
from protocol.sim.host import Host

if TYPE_CHECKING:
    from protocol.sim.bench import Bench

SLOTS_EACH = 16
"""Turns of the average validator in the rotation, where powers differ (C-2)."""


class Validity(Checker):
    """Final blocks are valid; results are what an independent execution gives."""

    rule = "validity"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        genesis = bench.facts.genesis
        self.genesis, self.parameters = genesis, genesis.parameters
        self.ledger = bench.ledger
        self.headers: list[Header] = []
        self.referenced: dict[bytes, int] = {}
        """Digest of a batch -> the height that references it."""
        self.proposals: dict[bytes, list[Proposal]] = {}
        """Payload -> where it was proposed."""
        self.epoch, self.began = 0, 0
        """Of the block that comes next, and the height of the last one below that epoch."""
        self._begin(0, encode(ValidatorSet(tuple(ValidatorPower(v.voting_key, v.power) for v in genesis.validators))))

    def _begin(self, height: int, named: bytes) -> None:
        """C-21: the next epoch stands on the block of `height`, with the set that was named."""
        self.epoch, self.began = self.epoch + 1, height
        self.powers = {entry.voting_key: entry.power for entry in decode(ValidatorSet, named).validators}
        self.validators_hash = digest(Domain.VALIDATORS, named)
        self.turns = turns(self.powers, self.bench.facts.network_id, self.epoch)

    def signed(self, host: Host, fact: Signed) -> None:
        """Remember where a payload was proposed."""
        del host
        if fact.proposal is not None:
            places = self.proposals.setdefault(fact.proposal.payload, [])
            if fact.proposal not in places:
                places.append(fact.proposal)

    def appended(self, host: Host, height: int, block: Block) -> None:
        """The first time: judge and execute. A block that is not of the one chain is agreement's affair."""
        name = digest(Domain.HEADER, block.header)
        if height != len(self.headers) + 1 or self.bench.chain.headers[height - 1 : height] != [name]:
            return
        header = decode(Header, block.header)
        for words in (*self._frame(header, name), *self._content(header, block.batches)):
            self.violated(f"the final block at height {height}: {words}", host)
        self.headers.append(header)
        self.referenced.update((reference.digest, height) for reference in header.references)
        self.ledger.execute(header, block.batches)
        if header.next_validators_hash != header.validators_hash:
            self._begin(height, self.ledger.named[header.executed.height])

    # -- L-18 ---------------------------------------------------------------------------------------

    def _frame(self, header: Header, name: bytes) -> Iterator[str]:
        below = self.headers[-1] if self.headers else None
        time_ms = self.genesis.created_ms if below is None else below.time_ms
        if header.rules != self.genesis.rules[0].version or header.epoch != self.epoch:
            yield "another version of the rules, or another epoch"
        if header.time_ms <= time_ms:
            yield "its time is not after its parent's"
        if header.validators_hash != self.validators_hash:
            yield "another validator set"
        named = self.ledger.named[min(header.executed.height, header.height - 1)]
        if header.next_validators_hash != digest(Domain.VALIDATORS, named):
            yield f"another next set than the state of height {header.executed.height} names"
        fitting = [proposal for proposal in self.proposals.get(name, ()) if self._led(proposal, header)]
        if not fitting:
            yield "its proposer does not lead a view in which it was proposed on its parent"

    def _led(self, proposal: Proposal, header: Header) -> bool:
        leader = self.turns[(proposal.view - 1) % len(self.turns)]
        below = self.proposals.get(header.parent, ()) if header.height > self.began + 1 else ()
        parents = [parent.view for parent in below] or [0]
        return proposal.epoch == self.epoch and leader == header.proposer and proposal.parent_view in parents

    def _content(self, header: Header, batches: tuple[bytes, ...]) -> Iterator[str]:
        parameters, references = self.parameters, header.references
        if len(references) > parameters.block_references_max:
            yield "too many references"
        if sum(reference.bytes for reference in references) > parameters.block_bytes_max:
            yield "too many bytes"
        if sum(reference.count for reference in references) > parameters.block_envelopes_max:
            yield "too many envelopes"
        if len({reference.digest for reference in references}) < len(references):
            yield "a batch is referenced twice"
        yield from self._executed(header)
        for reference, data in zip(references, batches, strict=True):
            yield from self._batch(header.height, reference, data)

    def _executed(self, header: Header) -> Iterator[str]:
        below = self.headers[-1].executed if self.headers else self.ledger.results[0]
        stated = header.executed
        if stated != below and not below.height < stated.height < header.height:
            yield f"it names the result of height {stated.height}, its parent that of {below.height}"
        if stated.height < len(self.ledger.results) and stated != self.ledger.results[stated.height]:
            yield f"it names another result of height {stated.height} than an independent execution gives"
        lagging = [above for above in self.headers[stated.height :] if above.references]
        if header.references and len(lagging) > self.parameters.execution_lag_max:
            yield f"it has references, and {len(lagging)} blocks with references wait for execution"

    def _batch(self, height: int, reference: Reference, data: bytes) -> Iterator[str]:
        batch = decode(Batch, data)
        body = decode(BatchBody, batch.body)
        if reference.digest in self.referenced:
            yield f"a batch that height {self.referenced[reference.digest]} references already"
        true = Reference(body.author, digest(Domain.BATCH, batch.body), len(data), len(body.envelopes))
        if reference != true or body.network_id != self.bench.facts.network_id:
            yield "a reference that does not fit its batch"
        if body.author not in self.powers:
            yield "a batch by no validator"
        if not body.expiry_height - self.parameters.batch_ttl_max <= height <= body.expiry_height:
            yield f"a batch outside its heights, up to {body.expiry_height}"
        if not self._verify(Context.BATCH, body.author, batch.body, batch.signature):
            yield "a batch with a bad signature of its author"
        for envelope in body.envelopes:
            yield from self._envelope(envelope)

    def _envelope(self, data: bytes) -> Iterator[str]:
        envelope = decode(Envelope, data)
        body = decode(EnvelopeBody, envelope.body)
        pairs = list(zip(body.signers, envelope.signatures, strict=False))
        if len(data) > limits.ENVELOPE_BYTES_MAX or body.network_id != self.bench.facts.network_id:
            yield "an envelope that is too large, or of another network"
        if len(envelope.signatures) != len(body.signers) or list(body.signers) != sorted(set(body.signers)):
            yield "an envelope whose signers are not distinct, ascending, and as many as its signatures"
        if not all(self._verify(Context.ENVELOPE, signer, envelope.body, signature) for signer, signature in pairs):
            yield "an envelope with a bad signature"

    def _verify(self, context: Context, public: bytes, signed: bytes, signature: bytes) -> bool:
        facts = self.bench.facts
        return facts.scheme.verify(public, context.value + facts.network_id + signed, signature)

    # -- Results ------------------------------------------------------------------------------------

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """A node's result, outcomes and stored receipts."""
        if not host.honest or height >= len(self.ledger.results):
            return
        result = host.disk.executed.at(height)
        if result is not None and result != self.ledger.results[height]:
            words = _difference(result, self.ledger.results[height])
            self.violated(f"height {height} is executed to another {words} than independently", host)
        told = [(o.transaction, o.fate is Fate.FINAL, o.code, o.log_index) for o in outcomes]
        if told != self.ledger.judged[height]:
            self.violated(f"the outcomes of height {height} are not those of an independent execution", host)
        for _, _, _, index in told if result is not None else ():
            stored = None if index is None else host.disk.tables.get(Table.RECEIPT, index.to_bytes(8, "big"))
            if index is not None and self.ledger.log.leaves[index : index + 1] != [stored]:
                self.violated(f"receipt {index} is stored with other bytes than an independent execution gives", host)


def _difference(here: Executed, there: Executed) -> str:
    names = [name for name in ("state_root", "log_size", "log_root") if getattr(here, name) != getattr(there, name)]
    return " and ".join(name.replace("_", " ") for name in names) or "height"


def turns(power_of: dict[bytes, int], network: bytes, epoch: int) -> list[bytes]:
    """C-2: who leads, view after view, by voting key; then from the beginning again."""
    keys, powers = list(power_of), list(power_of.values())
    total, slots = sum(powers), SLOTS_EACH * len(powers)
    weights = dict(zip(keys, powers if total <= slots else [max(1, p * slots // total) for p in powers], strict=True))
    if len(set(powers)) == 1:
        weights = dict.fromkeys(keys, 1)
    order = sorted(keys, key=lambda key: digest(Domain.LEADER_SEED, encode(LeaderSeed(network, epoch, key))))
    credit, found = dict.fromkeys(order, 0), list[bytes]()
    while len(found) < sum(weights.values()):
        credit = {key: credit[key] + weights[key] for key in order}
        chosen = max(order, key=lambda key: (credit[key], -order.index(key)))
        credit[chosen] -= sum(weights.values())
        found.append(chosen)
    return found
