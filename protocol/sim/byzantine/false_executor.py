"""The false executor: states results that nobody computed, and shows clients receipts of things that did not happen.

In its proposals *executed* has another state root, log root, log size or height; whoever has computed that height
refuses (L-18), and if a quorum did not, L-22 would stop every node. Its receipts have another outcome, time or place,
or stand under a header of its own (L-21): no such proof may verify.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocol.codec import decode, encode
from protocol.ledger.records import Executed, Header, Receipt
from protocol.node.interface import Effect, Send
from protocol.proofs.records import ReceiptProof
from protocol.sim.byzantine.actor import Actor, Wrapper, plays
from protocol.sim.facts import PROPOSAL_HEAD
from protocol.sim.receipts import newest_proofs
from protocol.wire.messages import ProposalMessage


class FalseExecutor(Wrapper):
    """Lies about results."""

    PAUSE_MS = 400

    def lie(self, send: Send) -> list[Effect]:
        """Own proposals with a false *executed*, in most turns."""
        if send.data[:2] != PROPOSAL_HEAD or not self.generator.randrange(4):
            return [send]
        message = decode(ProposalMessage, send.data)
        header = decode(Header, message.header)
        if header.proposer != self.key.public:
            return [send]
        found = self.pick(_RESULTS, self, header.executed, header.height)
        assert found is not None, "there is always a lie"
        self.did(found[0])
        false = found[1]
        return [replace(send, data=self.proposal(message.proposal, replace(header, executed=false)))]

    def act(self) -> list[Effect]:
        """Show a client a receipt that is not true."""
        for proof in newest_proofs(self.genesis, self.stage.host.disk, self.generator, 1):
            found = self.pick(_RECEIPTS, self, proof, decode(Receipt, proof.receipt))
            assert found is not None, "there is always a lie"
            self.did(found[0])
            self.stage.present(self.stage.host, encode(found[1]))
        return []


# -- Results in proposals ---------------------------------------------------------------------------


def _newer(_actor: FalseExecutor, executed: Executed, height: int) -> Executed:
    """A height that this proposal may name: its parent's, if there is one above the true one."""
    return replace(executed, height=max(executed.height, height - 1))


def _false_state(actor: FalseExecutor, executed: Executed, height: int) -> Executed:
    return replace(_newer(actor, executed, height), state_root=actor.generator.randbytes(32))


def _false_log(actor: FalseExecutor, executed: Executed, height: int) -> Executed:
    return replace(_newer(actor, executed, height), log_root=actor.generator.randbytes(32))


def _false_size(actor: FalseExecutor, executed: Executed, height: int) -> Executed:
    return replace(_newer(actor, executed, height), log_size=executed.log_size + 1)


def _same_height(actor: FalseExecutor, executed: Executed, _height: int) -> Executed:
    return replace(executed, state_root=actor.generator.randbytes(32))


def _lower_height(_actor: FalseExecutor, executed: Executed, _height: int) -> Executed:
    return replace(executed, height=max(0, executed.height - 1), log_size=executed.log_size + 1)


def _future_height(actor: FalseExecutor, executed: Executed, height: int) -> Executed:
    return replace(executed, height=height + actor.generator.choice((0, 1, 1_000)))


_RESULTS: dict[str, Callable[[FalseExecutor, Executed, int], Executed]] = {
    "false state root": _false_state,
    "false log root": _false_log,
    "false log size": _false_size,
    "another result of the parent's height": _same_height,
    "a lower height": _lower_height,
    "a height to come": _future_height,
}

# -- Receipts ---------------------------------------------------------------------------------------


def _another_outcome(_actor: FalseExecutor, proof: ReceiptProof, receipt: Receipt) -> ReceiptProof:
    code = "forbidden" if receipt.code == "ok" else "ok"
    return replace(proof, receipt=encode(replace(receipt, code=code)))


def _another_time(_actor: FalseExecutor, proof: ReceiptProof, receipt: Receipt) -> ReceiptProof:
    return replace(proof, receipt=encode(replace(receipt, time_ms=receipt.time_ms - 1_000)))


def _another_place(_actor: FalseExecutor, proof: ReceiptProof, _receipt: Receipt) -> ReceiptProof:
    return replace(proof, log_index=proof.log_index + 1)


def _own_root(actor: FalseExecutor, proof: ReceiptProof, receipt: Receipt) -> ReceiptProof:
    """The log root of a log with this false receipt alone, in a header that nobody else signed."""
    from_header = decode(Header, proof.finality.header)
    false = encode(replace(receipt, code="ok", words="never happened"))
    executed = replace(from_header.executed, log_size=1, log_root=actor.generator.randbytes(32))
    header = encode(replace(from_header, executed=executed))
    return replace(proof, receipt=false, path=(), log_index=0, finality=replace(proof.finality, header=header))


_RECEIPTS: dict[str, Callable[[FalseExecutor, ReceiptProof, Receipt], ReceiptProof]] = {
    "receipt with another outcome": _another_outcome,
    "receipt with another time": _another_time,
    "receipt at another place": _another_place,
    "receipt under an own header": _own_root,
}

FALSE_EXECUTOR = Actor("lies about execution", plays(FalseExecutor), (*_RESULTS, *_RECEIPTS))
