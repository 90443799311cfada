"""The bench: the watcher of all hosts, behind which the checkers sit.

It decodes each message once (`facts`), asks every checker of `checkers`, and keeps the first violation, which ends the
run. Members that are byzantine in a run are held to nothing.
"""

from __future__ import annotations

from protocol.apps.registry import rules_at
from protocol.consensus.statements import Certificate
from protocol.ledger.genesis import Genesis
from protocol.ledger.records import Block
from protocol.node.interface import Admitted, JournalKind, Outcome, Refusal
from protocol.sim.checkers import CHECKERS
from protocol.sim.checkers.naive_ledger import NaiveLedger
from protocol.sim.facts import CERTIFICATE_HEAD, PROPOSAL_HEAD, VOTE_HEAD, Chain, Facts, Violation
from protocol.sim.host import Host
from protocol.sim.signatures import Scheme


class Bench:
    """The watcher of all hosts."""

    def __init__(
        self, genesis: Genesis, scheme: Scheme, validators: tuple[int, ...], *, own_disk_suffices: bool = False
    ) -> None:
        """`validators`: for each validator, in the set's order, the index of its host."""
        self.facts = Facts(genesis, scheme)
        self.chain = Chain()
        self.hosts: list[Host] = []
        self.violation: Violation | None = None
        self.own_disk_suffices = own_disk_suffices
        self.owners = dict(zip(self.facts.keys, validators, strict=True))
        """Voting key -> index of the host that has it."""
        self.ledger = NaiveLedger(genesis, rules_at(genesis, 1))
        """Every final block, executed independently: `checkers.validity` sees to it, others compare with it."""
        self._left_out: frozenset[str] = frozenset()
        self._checkers = [make(self) for make in CHECKERS]

    def attach(self, hosts: list[Host]) -> None:
        """The machines, in order of their index."""
        self.hosts = hosts

    def leave_out(self, rules: frozenset[str]) -> None:
        """Do not report these rules: a test that plants a bug asks whether another checker sees it too."""
        self._left_out = rules

    def honest(self) -> list[Host]:
        """Hosts that are held to the rules."""
        return [host for host in self.hosts if host.honest]

    def is_honest(self, voting_key: bytes) -> bool:
        """Whether the validator of this key is held to the rules."""
        return self.hosts[self.owners[voting_key]].honest

    def violated(self, rule: str, words: str, host: Host | None) -> None:
        """Keep the first violation and stop the run."""
        if self.violation is None and rule not in self._left_out:
            schedule = self.hosts[0].around.schedule
            self.violation = Violation(rule, words, None if host is None else host.index, schedule.now_us)
            schedule.stop()

    def saw(self, host: Host, data: bytes) -> Certificate | None:
        """Take in one message or record; the finalization that it is, if it is one and good."""
        facts, finalization = self.facts.read(data)
        for fact in facts:
            for checker in self._checkers:
                checker.signed(host, fact)
        if finalization is not None:
            for checker in self._checkers:
                checker.finalization(host, finalization)
        return finalization

    def read_journal(self, host: Host) -> None:
        """Take in what is durable in a journal."""
        for record in host.disk.journal[: host.disk.journal_synced]:
            if record.kind in _SIGNED_KINDS:
                self.saw(host, record.data)

    def booted(self, host: Host) -> None:
        """Watcher."""
        if host.honest:
            for checker in self._checkers:
                checker.booted(host)

    def installed(self, host: Host) -> None:
        """Watcher."""
        if host.honest:
            for checker in self._checkers:
                checker.installed(host)

    def started(self, host: Host) -> None:
        """Watcher."""
        if host.honest:
            for checker in self._checkers:
                checker.started(host)

    def said(self, host: Host, data: bytes) -> None:
        """Watcher."""
        if data[:2] in _HEADS:
            self.saw(host, data)

    def appended(self, host: Host, height: int, block: Block) -> None:
        """Watcher."""
        if host.honest:
            for checker in self._checkers:
                checker.appended(host, height, block)

    def executed(self, host: Host, height: int, outcomes: tuple[Outcome, ...]) -> None:
        """Watcher."""
        if host.honest:
            for checker in self._checkers:
                checker.executed(host, height, outcomes)

    def answered(self, host: Host, ticket: int, results: tuple[Admitted | Refusal, ...]) -> None:
        """Watcher."""
        for checker in self._checkers:
            checker.answered(host, ticket, results)

    def presented(self, host: Host, proof: bytes) -> None:
        """A client was shown this encoded receipt proof by a node that is held to nothing."""
        for checker in self._checkers:
            checker.presented(host, proof)

    def broken(self, host: Host, words: str) -> None:
        """Watcher."""
        for checker in self._checkers:
            checker.broken(host, words)

    def sample(self) -> None:
        """A quiet look at every node."""
        for host in self.hosts:
            for checker in self._checkers:
                checker.sampled(host)

    def end(self) -> None:
        """The last look."""
        for checker in self._checkers:
            checker.ended()


_SIGNED_KINDS = frozenset({JournalKind.VOTE, JournalKind.PROPOSAL, JournalKind.CERTIFICATE})
_HEADS = frozenset({VOTE_HEAD, CERTIFICATE_HEAD, PROPOSAL_HEAD})
