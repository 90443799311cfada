"""Taking a backup, also while the node runs.

Segments are append-only and sealed ones never change, so they are copied file by file in ascending order, without a
lock. Of the newest one a part of a block may be copied: the copy is opened, which cuts it. A node that begins a new
segment meanwhile does no harm: heights in the copy are without a gap up to where it ends. Every copy is read back,
block by block, before the backup is called one: a damaged block stops it, with its height.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from daemon import VERSION
from daemon.backup.manifest import CHUNK_BYTES, INHERITED, MANIFEST_FILE, SEGMENTS, Manifest, digest_of
from daemon.config.creation import CARD_FILE, NETWORK_FILE, NODE_FILE
from daemon.config.keyfiles import CREDENTIAL_PREFIX, of_journal, sync_directory, write_new
from daemon.config.node import Node
from daemon.store.directory import inherited_directory
from daemon.store.files import OsFiles
from daemon.store.history import read_beginning
from daemon.store.segments import Segments
from protocol.errors import OperatorFault

KEYS_DIRECTORY: Final = "keys"
Progress = Callable[[str, int, int], None]
"""(what is done, how far, of how much)."""


def take(node: Node, target: Path, *, with_keys: bool, progress: Progress) -> Manifest:
    """Copy what belongs into a backup of `node` to `target` (new or empty). Raises OperatorFault, SegmentDamaged."""
    beginning = read_beginning(node.data_directory, OsFiles())
    if beginning is not None:
        words = (
            f"{node.data_directory} keeps blocks from {beginning.first_height} on ({beginning.why}), and a backup is"
        )
        raise OperatorFault(
            f"{words} restored by executing all of them: take it from an archive node. To replace this node, keep its "
            'keys, make it anew, and let it join with sync = "snapshot"'
        )
    _begin(target)
    settings = node.file.parent
    files = {NODE_FILE: node.file, NETWORK_FILE: node.network.file, CARD_FILE: settings / CARD_FILE}
    for name, source in files.items():
        if source.exists():
            write_new(target / name, source.read_text(encoding="utf-8"))
    if with_keys:
        _copy_keys(node, target)
    height = _copy_segments(node, target / SEGMENTS, progress)
    copy_inherited(inherited_directory(node.data_directory), target / INHERITED)
    sync_directory(target)
    names = sorted(str(file.relative_to(target)) for file in target.rglob("*") if file.is_file())
    manifest = Manifest(
        node.network.network_id.hex(),
        node.member,
        node.is_validator,
        height,
        with_keys,
        VERSION,
        {name: digest_of(target / name) for name in names},
    )
    manifest.write(target)
    return manifest


def _begin(target: Path) -> None:
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(target.iterdir()):
            kind = "holds a backup already" if (target / MANIFEST_FILE).exists() else "is not empty"
            raise OperatorFault(f"{target} {kind}: nothing is overwritten; name a new directory")
        (target / SEGMENTS).mkdir(mode=0o700)
    except OSError as error:
        raise OperatorFault(f"{target} cannot be made: {(error.strerror or str(error)).lower()}") from error


def _copy_keys(node: Node, target: Path) -> None:
    """Node and voting key. Without the journal's id: what is restored gets one of its own (C-24)."""
    (target / KEYS_DIRECTORY).mkdir(mode=0o700)
    references = {"node.key": node.settings.keys.node, "voting.key": node.settings.keys.voting}
    for name, reference in references.items():
        if reference is None:
            continue
        if reference.startswith(CREDENTIAL_PREFIX):
            raise OperatorFault(
                f"{reference} is a service manager's: back it up where it is kept, and leave out --keys"
            )
        text = (node.file.parent / reference).read_text(encoding="utf-8")
        write_new(target / KEYS_DIRECTORY / name, of_journal(text, None), mode=0o600)


def copy_inherited(source: Path, target: Path) -> None:
    """What the network before left, if there was one: it never changes (decision 0014). Synced on return.

    Raises OperatorFault.
    """
    for file in sorted(file for file in source.rglob("*") if file.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_file(file, place)
        sync_directory(place.parent)


def _copy_segments(node: Node, target: Path, progress: Progress) -> int:
    """The last height that was copied."""
    sources = sorted((node.data_directory / SEGMENTS).glob("*.seg"))
    total = sum(file.stat().st_size for file in sources)
    done = 0
    for source in sources:
        for count in copy_file(source, target / source.name):
            done += count
            progress("copied", done, max(total, done))
    segments = Segments.open(target, OsFiles(), node.network.network_id)
    try:
        last = segments.last_height
        for height in range(max(1, segments.first_height), last + 1):
            segments.read(height)  # raises SegmentDamaged
            progress("checked", height, last)
    finally:
        segments.close()
    for index in target.glob("*.idx"):
        index.unlink()  # made anew at the first start
    sync_directory(target)
    return last


def copy_file(source: Path, target: Path) -> list[int]:
    """Copy as many bytes as there are now, synced; the sizes of its pieces. Raises OperatorFault on a full disk."""
    counts: list[int] = []
    try:
        with source.open("rb") as stream, target.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            left = os.fstat(stream.fileno()).st_size
            while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
                copy.write(chunk)
                left -= len(chunk)
                counts.append(len(chunk))
            copy.flush()
            os.fsync(copy.fileno())
    except OSError as error:
        raise OperatorFault(
            f"{source} cannot be copied to {target}: {(error.strerror or str(error)).lower()}"
        ) from error
    return counts
