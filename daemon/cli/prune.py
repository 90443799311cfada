"""`papilio store prune`: old segments deleted, or moved to an archive, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit
from daemon.cli.store import end_progress, subject_of, teller
from protocol.errors import OperatorFault

if TYPE_CHECKING:
    from daemon.store.pruning import Plan
    from daemon.upkeep.check import Subject
    from protocol.snapshot.keeping import Keep

DAY_MS = 86_400_000


def run(place: Path, network: Path | None, text: str | None, archive: Path | None, *, dry_run: bool) -> int:
    """What `papilio store prune` does; the exit code. Raises OperatorFault, Ended."""
    subject = subject_of(place, network)
    keep = _keep(place, text, network)
    with _alone(subject):
        plan, gone = _prune(subject, keep, archive, dry_run=dry_run)
    end_progress()
    answer = {
        "first_height": plan.first_height,
        "wanted_height": plan.wanted_height,
        "why": plan.why,
        "segments": [{"first": first, "last": end - 1, "bytes": size} for first, end, size in plan.gone],
        "bytes": plan.bytes,
        "done": bool(gone),
        "archive": None if archive is None else str(archive),
    }
    emit(answer, lambda: _show(plan, archive, done=bool(gone)))
    return ExitCode.DONE


def _prune(subject: Subject, keep: Keep, archive: Path | None, *, dry_run: bool) -> tuple[Plan, list[str]]:
    from daemon.snapshots.making import snapshot_heights
    from daemon.store.directory import state_directory
    from daemon.store.files import OsFiles
    from daemon.store.pruning import plan_pruning, prune
    from daemon.store.segments import Segments
    from daemon.store.tables import StateStore
    from daemon.upkeep.findings import Progress
    from protocol.ledger.genesis import network_id

    network, files, tell = network_id(subject.genesis), OsFiles(), teller()
    segments = Segments.open(subject.directory / "segments", files, network)
    try:
        state = StateStore.open(state_directory(subject.directory), network, writer=False, alone=True)
        try:
            with state.reader() as reader:
                heights = snapshot_heights(subject.directory)
                plan = plan_pruning(segments, reader, subject.genesis.parameters, keep, heights)
                if dry_run or not plan.gone:
                    return plan, []

                def told(done: int, total: int) -> None:
                    tell(Progress("copying segments", done, total))

                return plan, prune(subject.directory, files, segments, reader, plan, archive, told)
        finally:
            state.close()
    finally:
        segments.close()


def _keep(place: Path, text: str | None, network: Path | None) -> Keep:
    """What stays. Raises OperatorFault."""
    from pydantic import ValidationError

    from daemon.cli.run import file_of
    from daemon.config.files import read
    from daemon.config.node import NodeFile, StorageTable
    from protocol.snapshot.keeping import Keep

    if text is None and network is None:
        storage = read(file_of(place), NodeFile).value.storage
    elif text is None:
        raise OperatorFault('a data directory by itself does not say what to keep: give --keep, as "90 days"')
    else:
        try:
            storage = StorageTable(keep=text)
        except ValidationError:
            raise OperatorFault(f'--keep {text!r}: expected "90 days", "1000000 blocks", or "all"') from None
    keep = Keep(storage.keep_blocks, storage.keep_ms)
    if keep.everything:
        words = "everything is to be kept (an archive): nothing to prune"
        raise OperatorFault(f'{words}; say what stays with --keep "90 days", or as [storage] keep in node.toml')
    return keep


@contextmanager
def _alone(subject: Subject) -> Iterator[None]:
    from daemon.store.lock import InUse, ProcessLock

    words = f"a node runs on {subject.directory}: it prunes by itself as [storage] keep says, or stop it first"
    try:
        lock = ProcessLock(subject.directory / "lock", words)
    except InUse as fault:
        raise Ended(fault.words, code=fault.code, exit_code=ExitCode.IN_USE) from fault
    try:
        yield
    finally:
        lock.release()


def _show(plan: Plan, archive: Path | None, *, done: bool) -> None:
    for first, following, size in plan.gone:
        print(f"{'gone' if done else 'would go':<10} blocks {first} to {following - 1}, {size >> 20} MiB")
    if not plan.gone:
        print(f"nothing    no segment is older than block {plan.wanted_height}: {plan.why}")
    elif done and archive is not None:
        print(f"archive    {archive} has them; papilio audit reads them there")
    print(f"kept       blocks from {plan.first_height} on")
