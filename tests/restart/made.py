"""An old network made by hand: six executed blocks, the fifth under a certificate, the sixth only notarized."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.runtime.workers.overlay import Overlay
from protocol.apps.members.application import MEMBERS_APP
from protocol.apps.members.records import RemoveValidator
from protocol.codec import encode
from protocol.consensus.statements import CONTEXTS, Certificate, Proposal, Vote, VoteKind, statement_bytes
from protocol.crypto.signing import SigningKey
from protocol.ledger.records import Block, Header, header_hash
from protocol.node.interface import JournalKind, JournalRecord
from protocol.restart.beginning import changed_state, taking_part
from protocol.restart.document import make_document
from protocol.restart.opening import OpenedReport, open_report
from protocol.restart.records import Decided
from protocol.restart.reporting import Held, make_report
from tests.ledger.world import TestApplication, World, key, make_genesis
from tests.proofs.chain import certificate, voters

BASE_VIEW = 9
TIP_VIEW = 10


class Old(World):
    """See the essay. Validator i of the set votes with `self.voters[i]`; account keys are `key(100 + i)`."""

    def __init__(self) -> None:
        super().__init__(make_genesis(), [TestApplication(), MEMBERS_APP])
        self.voters = voters()
        for number in range(1, 7):
            self.run(self.put(number, f"n{number}"))
        self.base, self.tip = self.headers[4], self.headers[5]

    # -- Statements ---------------------------------------------------------------------------------

    def vote(self, signer: int, kind: VoteKind, view: int, header: Header) -> Vote:
        proposal = Proposal(1, view, view - 1, header_hash(header))
        payload = statement_bytes(int(kind), 1, view, proposal)
        signature = self.voters[signer].sign(CONTEXTS[kind], self.network_id, payload)
        return Vote(int(kind), 1, view, proposal, signer, signature)

    def certified(self, header: Header, kind: VoteKind, view: int, signers: Sequence[int] = (0, 1, 2)) -> Certificate:
        return certificate(self.network_id, header_hash(header), signers, kind=kind, view=view)

    # -- Disks --------------------------------------------------------------------------------------

    def held(self, signer: int, *, knows_tip: bool = True, votes: bool = True, remembers: bool = True) -> Held:
        """What validator `signer` holds: the fifth block final; of the sixth what it was told, and its own votes."""
        finalization = encode(self.certified(self.base, VoteKind.FINALIZE, BASE_VIEW))
        blocks = tuple(encode(Block(encode(header), batches, None)) for header, batches in self.blocks[:4])
        blocks += (encode(Block(encode(self.base), self.blocks[4][1], finalization)),)
        records = []
        if knows_tip:
            records = [JournalRecord(JournalKind.HEADER, encode(self.tip))]
            records += [JournalRecord(JournalKind.BATCH, batch) for batch in self.blocks[5][1]]
            records.append(
                JournalRecord(JournalKind.CERTIFICATE, encode(self.certified(self.tip, VoteKind.NOTARIZE, TIP_VIEW)))
            )
        if votes and knows_tip:
            records += [
                JournalRecord(JournalKind.VOTE, encode(self.vote(signer, kind, TIP_VIEW, self.tip)))
                for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)
            ]
        return Held((), blocks[-1:], tuple(records), (), remembers)

    def report(self, signer: int, held: Held | None = None) -> bytes:
        return make_report(self.genesis, self.voters[signer], held or self.held(signer), 1_000)

    def opened(self, *reports: bytes) -> list[OpenedReport]:
        return [open_report(self.genesis, data) for data in reports]

    # -- Documents ----------------------------------------------------------------------------------

    def decided(self, *, lost: Sequence[int] = (2, 3)) -> Decided:
        encoded = tuple(encode(RemoveValidator(self.voters[index].public)) for index in lost)
        writes, begins = changed_state(self.tables, encoded)
        after = Overlay(self.tables)
        after.apply(writes)
        part = taking_part(after)
        return Decided("test", self.time_ms + 5_000, self.genesis.parameters, encoded, *part, begins)

    def document(self, *reports: bytes, decided: Decided | None = None, uncertain: bool = False) -> bytes:
        chosen = reports or (self.report(0), self.report(1))
        return make_document(self.genesis, chosen, self.tables, decided or self.decided(), uncertain=uncertain)[0]

    def account(self, member: int) -> SigningKey:
        return key(100 + member)
