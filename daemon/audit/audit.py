"""The audit put together: read, judge, execute, compare, block after block, and say what was found.

**The order of a block.** It is read and checked (blocks.py), judged (judging.py), compared with the other copies
(against.py), executed (replay.py); results go to the comparison with state stores in groups (comparing.py). The first
block that cannot be executed ends execution, and with it what is known of results and of later validator sets: what
follows is still read, judged and compared, so that one damaged record is told from a history that was written anew.

**A network that goes on from another** (decision 0014) begins with a state that genesis states the roots of;
following.py audits the network before as well, as far as the directory holds it.

**A running node.** Nothing is locked. Blocks that come while the audit runs are taken in at the end, until the replay
stands where the state store stands; if the node goes on faster than this executes, it ends after some rounds and says
that the current values were not compared.

Memory is one block, one group of writes and bounded windows, whatever the length of the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.audit.against import OtherDirectory, OtherNode
from daemon.audit.blocks import BlockStream, Damaged, Found
from daemon.audit.comparing import StateComparison
from daemon.audit.findings import Difference, Of, Report
from daemon.audit.following import follow
from daemon.audit.judging import Fault, Judge, Judged
from daemon.audit.places import Place, find_place
from daemon.audit.replay import Replay, changed_validators, replaying
from daemon.store.directory import inherited_directory
from daemon.store.files import OsFiles
from daemon.store.history import read_beginning
from protocol.apps.points.audit import audit as audit_programmes
from protocol.errors import OperatorFault, PapilioError
from protocol.ledger.genesis import Genesis, network_id
from protocol.ledger.succession import Succession

ROUNDS: Final = 20
"""How often the audit tries to come level with a running node's state."""
LOOK_SECONDS: Final = 0.1

Progress = Callable[[int, int, int], None]
"""Told now and then: bytes read, bytes in all, height."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to audit. place: whose history. height: up to which block, None for all. against: directories and URLs.

    state: whether to compare state stores. scratch: where the replay's state goes, None for the usual folder.
    """

    genesis: Genesis
    place: Place
    height: int | None = None
    against: tuple[str, ...] = ()
    state: bool = True
    scratch: Path | None = None


def audit(wishes: Wishes, progress: Progress = lambda _read, _total, _height: None) -> Report:
    """Audit a history; see the essay.

    Raises OperatorFault (no such directory, another network, fewer blocks than asked for), ClientError (a node to be
    compared with does not answer, or is of another network), StoreFailed, DiskFull (of the scratch).
    """
    with ExitStack() as stack:
        left = inherited_directory(wishes.place.segments.parent)
        replay = stack.enter_context(replaying(wishes.genesis, wishes.scratch, left / "state"))
        run = _Run(wishes, replay, stack, progress)
        run.all_blocks()
        run.finish()
    if isinstance(wishes.genesis, Succession):
        follow(wishes.genesis, left, run.report, lambda older: audit(_of_older(wishes, left, older), progress))
    return run.report


def _of_older(wishes: Wishes, left: Path, older: Genesis) -> Wishes:
    """The same for the network before, up to its last kept block."""
    assert isinstance(wishes.genesis, Succession), "it goes on from another"
    height = wishes.genesis.ancestors[-1].executed.height
    return Wishes(older, Place(left, left / "segments", None), height, (), False, wishes.scratch)


class _Run:
    """One audit under way."""

    def __init__(self, wishes: Wishes, replay: Replay, stack: ExitStack, progress: Progress) -> None:
        network = network_id(wishes.genesis)
        self._wishes = wishes
        self._replay = replay
        self._progress = progress
        self.report = Report(wishes.genesis.name, network, replay.executed, beginning=replay.height)
        self._stream = BlockStream(wishes.place.segments, network)
        stack.callback(self._stream.close)
        self._judge = Judge(wishes.genesis, replay.executed_at)
        self._executing = True
        self._height = replay.height
        self._lost = 0
        """The height that was due where damage was met last."""
        self._states: list[StateComparison] = []
        self._directories: list[OtherDirectory] = []
        self._nodes: list[OtherNode] = []
        self._open_states(Of.STATE, wishes.place, stack)
        for text in wishes.against:
            self._open_other(text, stack)

    def _open_states(self, of: Of, place: Place, stack: ExitStack) -> None:
        if not self._wishes.state:
            return
        if place.state is None:
            self.report.notes.append(f"{place.given} has no state store: nothing to compare the results with")
            return
        comparison = StateComparison(place.state, self.report.network_id, of, self.report)
        stack.callback(comparison.close)
        self._states.append(comparison)

    def _open_other(self, text: str, stack: ExitStack) -> None:
        if "://" in text:
            node = OtherNode(text, self.report.network_id, self.report)
            stack.callback(node.close)
            self._nodes.append(node)
            return
        place = find_place(Path(text))
        other = OtherDirectory(place.given, place.segments, self.report.network_id, self.report)
        stack.callback(other.close)
        self._directories.append(other)
        self._open_states(Of.AGAINST, place, stack)

    # -- Blocks -------------------------------------------------------------------------------------

    def all_blocks(self) -> None:
        """All that the files held when they were opened, up to the height asked for."""
        self._advance(self._wishes.height)
        if self._wishes.height is not None and self._height < self._wishes.height:
            held = f"{self._wishes.place.given} holds blocks up to {self._height}, not {self._wishes.height}"
            raise OperatorFault(held)

    def _advance(self, height: int | None) -> None:
        """Go on to `height`, or to the end of what is there; pauses where a state store stands."""
        self._meet()
        while height is None or self._height < height:
            item = self._stream.next()
            if item is None:
                return
            self._progress(self._stream.read_bytes, self._stream.total_bytes, self._height)
            if isinstance(item, Damaged):
                self._damaged(item)
            elif self._in_place(item):
                self._block(item)

    def _damaged(self, item: Damaged) -> None:
        height = self._lost = self._height + 1
        words = "the record does not check: this block, and others in these bytes, are lost on this disk"
        where = f"{item.file} at byte {item.offset}, to {item.end}"
        self._differ(Difference(Of.HISTORY, height, where, "block", item.field, item.expected, item.found, words))

    def _in_place(self, item: Found) -> bool:
        """Whether the block is the next, or the next that is left; says what is missing before it."""
        due = self._height + 1
        if item.height == due:
            return True
        where = f"{item.file} at byte {item.offset}"
        if item.height < due:
            words = "the record stands where a higher block belongs"
            self._differ(Difference(Of.HISTORY, due, where, "block", "height", str(due), str(item.height), words))
            return False
        if self._lost != due or item.height > due + 1:
            self._missing(due + 1 if self._lost == due else due, item.height, where)
        self._height = item.height - 1
        self._executing = False
        self._judge.skip()
        return True

    def _missing(self, first: int, following: int, where: str) -> None:
        """Heights from `first` to before `following` are in no record."""
        missing = str(first) if following == first + 1 else f"{first} to {following - 1}"
        words = f"block {missing} is not there: what follows cannot be executed"
        if first == self.report.beginning + 1:
            words += "; take a directory that holds the history from the first block on, an archive node's"
            beginning = read_beginning(self._wishes.place.segments.parent, OsFiles())
            if beginning is not None and beginning.first_height == following:
                words += f" (this one is not damaged: {beginning.why}; what it keeps is judged, and not executed)"
        expected, found = f"block {first}", f"block {following}"
        self._differ(Difference(Of.HISTORY, first, where, "block", "", expected, found, words))

    def _block(self, item: Found) -> None:
        height = self._height = item.height
        report, where = self.report, f"{item.file} at byte {item.offset}"
        report.last_height = height
        report.read_bytes += len(item.data)
        judged = self._judge.judge(height, item.data)
        if isinstance(judged, Fault):
            self._fault(height, where, judged)
            self._judge.skip()
            self._executing = False
            return
        for fault in judged.faults:
            self._fault(height, where, fault)
        self._count(height, judged)
        for directory in self._directories:
            directory.block(height, judged, self._judge.voters)
        self._execute(height, where, judged)
        for node in self._nodes:
            node.block(height, judged.hash, self._replay.executed if self._replay.height == height else None)
        self._enter_next(judged)

    def _fault(self, height: int, where: str, fault: Fault) -> None:
        self._differ(
            Difference(Of.HISTORY, height, where, fault.record, fault.field, fault.expected, fault.found, fault.words)
        )

    def _count(self, height: int, judged: Judged) -> None:
        report = self.report
        report.batches += len(judged.block.batches)
        report.signatures += judged.signatures
        if judged.certified:
            report.certificates += 1
            report.certified_height = height

    def _enter_next(self, judged: Judged) -> None:
        header = judged.header
        known = self._executing or header.executed.height <= self._replay.height
        if self._judge.voters.passed(header, known=known):
            self.report.epochs += 1

    # -- Execution ----------------------------------------------------------------------------------

    def _execute(self, height: int, where: str, judged: Judged) -> None:
        if not self._executing:
            return
        try:
            done = self._replay.execute(judged.header, judged.block.batches)
        except PapilioError as fault:
            self._executing = False
            if not judged.faults:  # else it was said already what is wrong with the block, and both values
                words = "the block cannot be executed on what the blocks below have left"
                record = Difference(Of.HISTORY, height, where, "block", "", "a block that executes", fault.words, words)
                self._differ(record)
            return
        self.report.executed = done.executed
        for outcome in done.outcomes:
            (self.report.codes if outcome.final else self.report.skipped)[outcome.code] += 1
        changed = changed_validators(done)
        if changed is not None:
            self._judge.voters.computed(height, changed)
        if self._replay.full:
            self._settle()
        self._meet()

    def _settle(self) -> None:
        """Compare what the group wrote, and commit it."""
        for state in self._states:
            state.follow(self._replay.group)
        self._replay.commit()

    def _meet(self) -> None:
        """Where a store stands exactly here, compare all of it."""
        for state in self._states:
            if state.open and not state.whole and state.height == self._replay.height:
                self._settle()
                state.meet(self._replay)

    # -- The end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Come level with the state stores, and look at the whole."""
        self._settle()
        self._progress(self._stream.total_bytes, self._stream.total_bytes, self._height)
        for state in self._states:
            self._come_level(state)
        if self._stream.torn_bytes and self._wishes.height is None:
            words = f"a torn tail of {self._stream.torn_bytes} bytes after block {self._height}: never promised"
            self.report.notes.append(words)
        if self._executing:
            self._audit_books()

    def _come_level(self, state: StateComparison) -> None:
        """A store that has gone on, or lags behind for a moment: a running node's."""
        for _ in range(ROUNDS):
            if not self._comes_nearer(state):
                break
        if state.open and not state.whole:
            state.note(f"its current values were not compared: it stands at height {state.height}")

    def _comes_nearer(self, state: StateComparison) -> bool:
        """One try to stand where the store stands; whether another one can help."""
        if not self._executing or not state.open or state.whole:
            return False
        stands = state.look()
        if stands > self._replay.height:
            if self._wishes.height is not None:
                return False
            self._stream.extend()
            self._advance(stands)
            self._settle()
            if self._replay.height < stands:
                self._behind(state, stands)
                return False
        elif stands < self._replay.height:
            time.sleep(LOOK_SECONDS)
            if state.look() == stands:
                return False
        return not state.meet(self._replay)

    def _behind(self, state: StateComparison, stands: int) -> None:
        """The state has executed blocks that the segments do not hold: they were appended before, so they are lost."""
        due = self._replay.height + 1
        words = f"the state store has executed height {stands}, so this block was there once"
        where = str(self._wishes.place.segments)
        if state.of is Of.STATE:
            self._differ(Difference(Of.HISTORY, due, where, "block", "", f"block {due}", "nothing", words))
        else:
            state.note(f"it stands at height {stands}, above this history: its current values were not compared")

    def _audit_books(self) -> None:
        for one in audit_programmes(self._replay.reader()):
            for words in one.wrong:
                record = f"programme {one.programme.hex()}"
                where = str(self._wishes.place.given)
                self._differ(
                    Difference(Of.HISTORY, self._replay.height, where, record, "", "books that agree", words, words)
                )

    def _differ(self, difference: Difference) -> None:
        self.report.differs(difference)
