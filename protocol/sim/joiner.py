"""A machine that joins by a snapshot: the process that runs on it before there is a node (daemon/snapshots).

It drives `protocol.node.joining`: carries out what that says, in order, and commits what was kept a moment after it
came. When everything is here it is committed, then installed, which takes a while and is one step: a crash before it
is over leaves what was gathered, and the next process installs that. Then the node starts on this disk, in a life of
its own. Where nobody has a snapshot the node begins with the first block.

The process crashes, is frozen, waits for room on a full disk and falls over a failing one as a node does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import PapilioError
from protocol.ledger.index import read_base
from protocol.ledger.memory import MemoryTables
from protocol.node.interface import Disconnect, Input, Note, PeerDown, PeerUp, Received, Send, Tick
from protocol.node.joining import Forget, Joining, JoiningEffect, Keep
from protocol.sim.disk import StoredBlock, stored_block
from protocol.sim.events import MS_US
from protocol.sim.heights import Heights
from protocol.sim.lines import short, words_of_fault
from protocol.sim.staging import Staging
from protocol.snapshot.installing import Installing

if TYPE_CHECKING:
    from protocol.sim.host import Host

INSTALL_US = (20_000, 300_000)
"""Shortest and longest time in which a snapshot is installed."""
ROOM_US = 50 * MS_US
"""Between two looks whether a full disk has room again."""


class Joiner:
    """The process of one life of a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.life = host.life
        self.machine = Joining(host.setup.genesis, host.disk.staged, host.now(), pinned=host.setup.pinned)
        self._committing = False
        self._ended = False
        """Everything is gathered, or nobody has anything: peers are not heard any more."""

    def begin(self) -> None:
        """The first look, and ticks from now on."""
        if not self._look():
            self._tick_later()

    def gathers(self) -> bool:
        """Whether it is in the middle of a snapshot."""
        return self.machine.gathering is not None

    def _tick_later(self) -> None:
        interval_us = self.host.setup.genesis.parameters.retry_interval_ms * MS_US
        self.host.later(interval_us, self._tick)

    def _tick(self) -> None:
        if self._runs():
            self.host.step(Tick())
            self._tick_later()

    def _runs(self) -> bool:
        return self.life == self.host.life and not self._ended

    def step(self, given: Input) -> None:
        """Step the machine and carry out what it says; what is not for it is passed over."""
        if self._ended or not isinstance(given, PeerUp | PeerDown | Received | Tick):
            return
        for effect in self.machine.step(given, self.host.now()):
            self._carry_out(effect)
        self._look()

    def _carry_out(self, effect: JoiningEffect) -> None:
        host = self.host
        match effect:
            case Send():
                host.around.postman.send(host.index, effect.to, effect.priority, effect.data)
            case Disconnect():
                host.count("disconnect")
                host.line(f"disconnects {short(effect.peer)}: {effect.words}")
                host.around.postman.disconnect(host.index, effect.peer)
            case Keep():
                host.disk.staged.put(effect.key, effect.data)
                self._commit_later()
            case Forget():
                host.disk.staged.forget()
                host.count("snapshot_given_up")
            case Note():
                host.note(effect)

    # -- Commits ------------------------------------------------------------------------------------

    def _commit_later(self) -> None:
        if not self._committing:
            self._committing = True
            low, high = self.host.disk.model.maintenance_us
            self.host.later(self.host.generator.randint(low, high), self._commit)

    def _commit(self) -> None:
        host = self.host
        if self.life != host.life:
            return
        if host.disk.full:
            host.later(ROOM_US, self._commit)
            return
        host.disk.staged.begin_commit()
        host.later(host.disk.sync_time_us(host.generator), self._committed)

    def _committed(self) -> None:
        host = self.host
        if self.life != host.life:
            return
        if host.disk.failing:
            host.fall("a commit fails")
            return
        host.disk.staged.end_commit()
        self._committing = False
        if self._ended:
            host.later(host.generator.randint(*INSTALL_US), self._install)

    # -- The end ------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Whether it is over: everything is here, or nobody has a snapshot."""
        if self.machine.complete:
            self._ended = True
            if not self._committing:
                self._committing = True
                self._commit()
        elif self.machine.nobody_has_one:
            self._ended = True
            self.host.disk.staged = Staging()
            self.host.count("snapshot_not_offered")
            self.host.later(0, self._begin_node)
        return self._ended

    def _begin_node(self) -> None:
        if self.life == self.host.life:
            self.host.begin_node()

    def _install(self) -> None:
        """Tables and blocks at once; the node then executes what the blocks have above the state."""
        host = self.host
        if self.life != host.life:
            return
        if host.disk.full:
            host.later(ROOM_US, self._install)
            return
        try:
            self._put_in_place()
        except (PapilioError, AssertionError) as fault:
            host.broken(words_of_fault(fault))
            return
        host.count("snapshot_joined")
        host.around.watcher.installed(host)
        if self.life == host.life:
            host.begin_node()

    def _put_in_place(self) -> None:
        """Raises what damage and broken invariants raise."""
        host, machine = self.host, self.machine
        assert machine.gathering is not None
        assert machine.offer is not None
        tables = MemoryTables()
        installing = Installing(machine.genesis, machine.gathering, machine.offer, machine.epochs, tables.apply)
        height = installing.tables()
        base = read_base(tables)
        assert base is not None, "it was written"
        blocks: Heights[StoredBlock] = Heights(first=base.first_height)
        for _, data in installing.blocks():
            blocks.add(stored_block(data))
        executed = Heights([machine.gathering.offered.executed], height)
        host.disk.begin(tables, blocks, executed, dict(installing.ended()))
        host.line(f"installs the state of height {height} and blocks {blocks.first} to {blocks.last}")
