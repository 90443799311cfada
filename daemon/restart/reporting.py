"""A survivor's report: the seal first, then what the disk holds (decision 0014).

The seal is a vote floor above every view in the journal: no program signs with this journal again (L-24), also none
that knows nothing of restarts. Only when it is durable is the report made and signed, and kept beside the journal;
asking again gives the same bytes. `withdraw` takes the seal away, for the case that the lost come back after all.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from daemon.config.node import Node
from daemon.restart.disk import StoppedNode, Tell, stopped_node, untold
from daemon.restart.files import HOLDINGS, REPORT, read_bytes, write_whole
from daemon.runtime.recovery import without_earlier_returns
from daemon.store.journal import JournalState
from protocol.codec import encode
from protocol.crypto.signing import SigningKey
from protocol.errors import OperatorFault
from protocol.node.interface import JournalKind
from protocol.restart.opening import OpenedReport, open_report
from protocol.restart.reporting import SEALED, holdings, is_sealed, make_report, newest_set

KEPT: Final = "restart.report"
"""In the data directory: the report that was made."""
_SEAL: Final = (int(JournalKind.VOTE_FLOOR), encode(SEALED))


def report(node: Node, out: Path, tell: Tell = untold) -> tuple[OpenedReport, list[Path]]:
    """Seal the stopped `node` and write its report, and what its disk holds besides, to `out` + a suffix.

    Raises OperatorFault, InUse, StoreFailed.
    """
    with stopped_node(node, tell) as stopped:
        key = _voting_key(node, stopped)
        kept = node.data_directory / KEPT
        if not is_sealed(stopped.store.recovered):
            kept.unlink(missing_ok=True)
            _seal(stopped)
        if not kept.exists():
            write_whole(kept, make_report(node.network.genesis, key, stopped.held, int(time.time() * 1000)))
        data = read_bytes(kept)
        opened = open_report(node.network.genesis, data)
        files = [out.with_name(out.name + suffix) for suffix in (REPORT, HOLDINGS)]
        for file, content in zip(files, (data, encode(holdings(stopped.held))), strict=True):
            write_whole(file, content)
    return opened, files


def withdraw(node: Node) -> None:
    """Take the seal away: the validator may sign in its old network again. Raises OperatorFault, InUse, StoreFailed."""
    with stopped_node(node) as stopped:
        store = stopped.store
        if not is_sealed(store.recovered):
            raise OperatorFault("this node has made no report: there is nothing to withdraw")
        if (node.data_directory / BEGUN).exists():
            words = "a network was begun from this directory: its report is used, and cannot be taken back"
            raise OperatorFault(words)
        if store.health.state is not JournalState.WHOLE:
            raise OperatorFault("the journal is not whole any more: papilio store check says what to do")
        store.journal.rotate([record for record in store.recovered if record != _SEAL])
        store.journal.sync()
        (node.data_directory / KEPT).unlink(missing_ok=True)


BEGUN: Final = "restart.begun"
"""In the old data directory: the new networks that were begun from it, so that a journal of its keys is made once."""


def _voting_key(node: Node, stopped: StoppedNode) -> SigningKey:
    """The key that votes in the newest epoch that this disk knows; any that it has, if none of them does."""
    keys = [node.voting_key, None if node.voting_keys is None else node.voting_keys.successor()]
    mine = [key for key in keys if key is not None]
    if not mine:
        raise OperatorFault("this node is no validator: it has signed no votes, so it has nothing to report")
    named = {entry.voting_key for entry in newest_set(node.network.genesis, stopped.held).validators}
    return next((key for key in mine if key.public in named), mine[0])


def _seal(stopped: StoppedNode) -> None:
    """Make it durable that this validator never signs again here."""
    store = stopped.store
    if store.health.state is JournalState.WHOLE:
        store.journal.append([_SEAL])
    else:
        records = [(int(record.kind), record.data) for record in without_earlier_returns(store.recovered)]
        store.journal.rotate([*records, _SEAL])
    store.journal.sync()
