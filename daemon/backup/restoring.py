"""Making a node of a backup: on a new machine, or in a new directory.

Every file is compared with the manifest first; a backup that differs in a byte is refused. The node's key gets a new
journal id, and the journal that is made knows that it is not the validator's first (C-24): so the node follows at once,
fetches the blocks made since, asks the others what it may have signed, and votes above that. Nothing in a backup could
make it pass for one that remembers.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from daemon.backup.manifest import INHERITED, SEGMENTS, Manifest, digest_of, read_manifest
from daemon.backup.taking import KEYS_DIRECTORY, Progress, copy_file, copy_inherited
from daemon.config.creation import (
    CARD_FILE,
    JOURNAL_ID_BYTES,
    NETWORK_FILE,
    NODE_FILE,
    VOTING_KEY_FILE,
    take_fresh,
)
from daemon.config.files import read
from daemon.config.keyfiles import of_journal, sync_directory, write_new
from daemon.config.node import KeysTable, Node, NodeFile, load_node
from daemon.config.write import to_toml
from daemon.store.directory import create, inherited_directory
from daemon.store.files import OsFiles
from daemon.store.segments import Segments
from protocol.errors import OperatorFault


def check(backup: Path, progress: Progress) -> Manifest:
    """Compare every file with the manifest. Raises OperatorFault with the first that differs."""
    manifest = read_manifest(backup)
    for index, (name, digest) in enumerate(sorted(manifest.files.items()), 1):
        file = backup / name
        if not file.is_file():
            raise OperatorFault(f"{file} is missing: the backup is not whole")
        if digest_of(file) != digest:
            raise OperatorFault(f"{file} is not what was backed up: it was changed or is damaged; use another backup")
        progress("compared", index, len(manifest.files))
    return manifest


def restore(backup: Path, target: Path, *, keys: Path | None, progress: Progress) -> tuple[Node, Manifest]:
    """Make the node of `backup` in `target` (new or empty). keys: a directory with node.key and voting.key, if the
    backup has none. Raises OperatorFault, ConfigurationFault; what was made until then has no data directory that runs.
    """
    manifest = check(backup, progress)
    source = keys if keys is not None else backup / KEYS_DIRECTORY
    if not (source / "node.key").is_file():
        words = "the backup holds no keys: give the directory where node.key and voting.key are, with --keys"
        raise OperatorFault(words if keys is None else f"there is no {source / 'node.key'}")
    _begin(target)
    _write_settings(backup, target)
    _write_keys(source, target, validator=manifest.validator)
    node = load_node(target / NODE_FILE)
    take_fresh(target, node.network.network_id)  # there is none: it leaves word that it joined
    create(node.data_directory, node.network.network_id, node.journal_id, forgotten=True)
    copy_inherited(backup / INHERITED, inherited_directory(node.data_directory))
    _copy_segments(backup, node, progress)
    return node, manifest


def _begin(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise OperatorFault(f"{target} is not empty: nothing is overwritten; name a new directory")
        (target / KEYS_DIRECTORY).mkdir(mode=0o700)
    except OSError as error:
        raise OperatorFault(f"{target} cannot be made: {(error.strerror or str(error)).lower()}") from error


def _write_settings(backup: Path, target: Path) -> None:
    """As they were, but that all lies in this directory now."""
    settings = read(backup / NODE_FILE, NodeFile).value
    voting = None if settings.keys.voting is None else VOTING_KEY_FILE
    here = settings.model_copy(
        update={"network": NETWORK_FILE, "data_directory": "data", "keys": KeysTable(voting=voting)}
    )
    write_new(target / NODE_FILE, to_toml(here))
    for name in (NETWORK_FILE, CARD_FILE):
        if (backup / name).exists():
            write_new(target / name, (backup / name).read_text(encoding="utf-8"))


def _write_keys(source: Path, target: Path, *, validator: bool) -> None:
    for name in ("node.key", "voting.key") if validator else ("node.key",):
        try:
            text = (source / name).read_text(encoding="utf-8")
        except OSError as error:
            raise OperatorFault(f"{source / name} cannot be read: {(error.strerror or str(error)).lower()}") from error
        journal_id = secrets.token_bytes(JOURNAL_ID_BYTES) if name == "node.key" else None
        write_new(target / KEYS_DIRECTORY / name, of_journal(text, journal_id), mode=0o600)


def _copy_segments(backup: Path, node: Node, progress: Progress) -> None:
    target = node.data_directory / SEGMENTS
    sources = sorted((backup / SEGMENTS).glob("*.seg"))
    for index, source in enumerate(sources, 1):
        copy_file(source, target / source.name)
        progress("restored", index, len(sources))
    sync_directory(target)
    Segments.open(target, OsFiles(), node.network.network_id).close()
