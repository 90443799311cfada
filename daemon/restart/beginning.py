"""A node of the new network, made beside the old one, whose directory is only read (decision 0014).

    <target>/  node.toml  network.toml  member.toml  keys/  joined  data/
    <target>/data/inherited/  state/  segments/  format.json  network.toml  document

`inherited` is what the old network left: its state at the last kept block with the decided changes, and all its blocks
up to that one. It is made first and whole, in another place; blocks that come from others are judged (R-15), and every
result is computed here again and compared with what the document says. Only then is the journal made, whose being new
is true once: a mark in the old directory says for which networks it was made, and a second beginning from there gives a
validator without a memory (C-24). So does one from a directory that is not the very one that reported: a copy that was
restored has no mark.

Sealed segments are linked, where the file system can, the others copied: what is linked is never written to.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from daemon.audit.places import Place, data_directory, find_place, network_file
from daemon.config.creation import (
    CARD_FILE,
    JOURNAL_ID_BYTES,
    NETWORK_FILE,
    NODE_FILE,
    VOTING_KEY_FILE,
    take_fresh,
)
from daemon.config.files import read, read_text
from daemon.config.keyfiles import CREDENTIAL_PREFIX, of_journal, sync_directory, write_new
from daemon.config.network import Network, load_network
from daemon.config.node import KeysTable, Node, NodeFile, load_node
from daemon.config.voting_keys import ERASED, NEXT, VotingKeys
from daemon.config.write import to_toml
from daemon.restart.disk import Tell, bring_up, untold
from daemon.restart.files import BLOCKS, DOCUMENT, read_bytes, read_record, read_restart, write_whole
from daemon.restart.reporting import BEGUN, KEPT
from daemon.store.directory import create, inherited_directory, write_format
from daemon.store.files import OsFiles
from daemon.store.journal import JournalState, look_at
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from daemon.upkeep.check import nobody_else
from protocol.codec import decode
from protocol.errors import RESTART_BAD_BLOCK, RESTART_BAD_DOCUMENT, RESTART_NOT_APPROVED, OperatorFault
from protocol.ledger.genesis import network_id
from protocol.ledger.index import read_base, read_head
from protocol.ledger.records import Block, Header, header_hash
from protocol.restart.beginning import beginning, taking_part
from protocol.restart.blocks import by_height, check_path
from protocol.restart.document import Opened, approvals, open_document
from protocol.restart.opening import RestartRefused
from protocol.restart.records import KeptBlocks
from protocol.restart.reporting import is_sealed
from protocol.restart.weighing import Weighed

NODE_KEY: Final = "keys/node.key"
UNFINISHED: Final = "inherited.unfinished"


def begin(old: Path, target: Path, folder: Path, *, too_few: bool = False, tell: Tell = untold) -> tuple[Node, Opened]:
    """Make the node in `target` from the old network's directory `old` and the restart in `folder`.

    `target` is new, then the node is that of `old` with its keys; or it was made by `papilio node create`, then `old`
    is anyone's, a backup too. too_few: begin although fewer members signed than the old rule asks for.

    Raises RestartRefused, ConfigurationFault, OperatorFault, and what a disk may raise.
    """
    restart = read_restart(folder)
    opened = open_document(restart.document)
    signed = approvals(opened, restart.approvals)
    if len(signed) < opened.needed and not too_few:
        words = f"{len(signed)} members have signed ({', '.join(signed) or 'nobody'}), the old rule asks for"
        raise RestartRefused(RESTART_NOT_APPROVED, f"{words} {opened.needed}")
    network = load_network(folder / NETWORK_FILE)
    if network.network_id != opened.network_id:
        raise OperatorFault(f"{network.file} is not the network that the document in {folder} makes")
    place, before = find_place(old), load_network(network_file(old))
    if before.network_id != network_id(opened.genesis):
        raise OperatorFault(f"{old} is of network {before.network_id.hex()}, the document is of another")
    newcomer = (target / NODE_FILE).exists()
    _begin(target, newcomer=newcomer)
    with nobody_else(place.segments.parent):
        _check_whole(place, before)
        reported = not newcomer and _has_reported(load_node(old / NODE_FILE), opened)
        unfinished = target / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        _inherit(place, before, opened, folder, unfinished, tell)
        write_new(target / NETWORK_FILE, read_text(network.file))
        if not newcomer:
            _copy_node(old, target)
        node = load_node(target / NODE_FILE)
        if newcomer:
            fresh = take_fresh(target, network.network_id)
        else:
            fresh = _take_begun(old, network) and (reported or not node.is_validator)
        create(node.data_directory, network.network_id, node.journal_id, forgotten=not fresh)
        unfinished.rename(inherited_directory(node.data_directory))
        sync_directory(node.data_directory)
    return node, opened


def _begin(target: Path, *, newcomer: bool) -> None:
    if newcomer:
        if data_directory(target).exists() or (target / NETWORK_FILE).exists():
            raise OperatorFault(f"{target} belongs to a network already: make a new node with papilio node create")
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(each.name != UNFINISHED for each in target.iterdir()):
            raise OperatorFault(f"{target} is not empty: nothing is overwritten; name a new directory")
    except OSError as error:
        raise OperatorFault(f"{target} cannot be made: {(error.strerror or str(error)).lower()}") from error


def _check_whole(place: Place, before: Network) -> None:
    """What is inherited goes back to the old network's beginning. Raises OperatorFault if it came by a snapshot."""
    if place.state is None:
        return
    with closing(StateStore.open(place.state, before.network_id, writer=False)) as state, state.reader() as reader:
        base = read_base(reader)
    if base is not None:
        words = f"{place.state} came by a snapshot of height {base.height}: what was before is not in it"
        raise OperatorFault(f"{words}; begin from a directory that executed every block, of another member")


# -- What the old network left ----------------------------------------------------------------------


def _inherit(place: Place, before: Network, opened: Opened, folder: Path, target: Path, tell: Tell) -> None:
    """Segments and state up to the last kept block, with the decided changes; durable on return."""
    target.mkdir(mode=0o700)
    files = OsFiles()
    _link_segments(place.segments, target / "segments")
    given = by_height(_given_blocks(folder))
    with closing(Segments.open(target / "segments", files, before.network_id)) as segments:
        last = segments.last_height
        above = range(last + 1, opened.weighed.tip.height + 1)
        lacking = next((height for height in above if height not in given), None)
        if lacking is not None:
            words = f"this directory ends at block {last}, and {folder / BLOCKS} lacks block {lacking}"
            raise OperatorFault(f"{words}: begin from another member's directory (papilio backup)")
        _check_given(opened.weighed, given, segments, folder / BLOCKS)
        for height in above:
            segments.append(height, given[height])
        segments.sync()
        _make_state(place, before, opened, segments, target, tell)
    older = inherited_directory(place.segments.parent)
    if older.is_dir():
        shutil.copytree(older, target / "inherited", copy_function=_link)
    write_format(target, files, before.network_id)
    write_new(target / NETWORK_FILE, read_text(before.file))
    shutil.copyfile(folder / DOCUMENT, target / DOCUMENT)
    os.sync()


def _check_given(weighed: Weighed, given: Mapping[int, bytes], segments: Segments, file: Path) -> None:
    """What comes from others is judged before it is appended (R-15). Raises RestartRefused."""
    last = segments.last_height
    if weighed.tip.height <= last:
        return
    try:
        hashed = check_path(weighed, given, last)
    except RestartRefused as fault:
        raise RestartRefused(fault.code, f"{file}: {fault.words}; take the file from another member") from fault
    below = segments.read(last)
    if below is not None and header_hash(decode(Header, decode(Block, below).header)) != hashed:
        words = f"block {last} of this directory is not the one that the blocks in {file} stand on"
        raise RestartRefused(RESTART_BAD_BLOCK, f"{words}: two histories, or a damaged disk")


def _given_blocks(folder: Path) -> tuple[bytes, ...]:
    file = folder / BLOCKS
    return read_record(KeptBlocks, file).blocks if file.exists() else ()


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _link_segments(source: Path, target: Path) -> None:
    """The last file is copied, since it may be appended to; indexes are made again."""
    target.mkdir(mode=0o700)
    found = sorted(source.glob("*.seg"))
    for file in found[:-1]:
        _link(str(file), str(target / file.name))
    for file in found[-1:]:
        shutil.copyfile(file, target / file.name)


def _make_state(place: Place, before: Network, opened: Opened, segments: Segments, target: Path, tell: Tell) -> None:
    """The old state brought to the last kept block, compared with the document, then changed and handed over."""
    directory, document = target / "state", opened.document
    if place.state is None:
        directory.mkdir(mode=0o700)
    else:
        with closing(StateStore.open(place.state, before.network_id, writer=False)) as source:
            source.copy_to(directory)
    with closing(StateStore.open(directory, before.network_id, writer=True)) as state:
        inherited = inherited_directory(place.segments.parent) / "state"
        bring_up(state, before.genesis, inherited, segments.read, opened.weighed.tip.height, tell)
        with state.reader() as reader:
            head = read_head(reader)
            if head.executed != document.kept:
                raise RestartRefused(RESTART_BAD_DOCUMENT, "this disk has other results at the last kept block")
            if head.header_hash != header_hash(opened.weighed.tip):
                raise RestartRefused(RESTART_BAD_DOCUMENT, "this disk has another block than the last kept one")
            decided = document.decided
            writes, begins = beginning(opened.network_id, decided.created_ms, reader, decided.changes)
        state.hand_over(opened.network_id, writes)
        with state.reader() as reader:
            part = taking_part(reader)
        if begins != decided.begins or part != (decided.members, decided.validators, decided.observers):
            words = "the decided changes lead to other results, or other members and validators, than it says"
            raise RestartRefused(RESTART_BAD_DOCUMENT, words)


# -- The node ---------------------------------------------------------------------------------------


def _copy_node(old: Path, target: Path) -> None:
    """Settings and keys of the old node; its key file gets a new journal id."""
    settings = read(old / NODE_FILE, NodeFile).value
    (target / "keys").mkdir(mode=0o700, exist_ok=True)
    voting = settings.keys.voting
    here = settings.model_copy(
        update={
            "network": NETWORK_FILE,
            "data_directory": "data",
            "keys": KeysTable(
                node=_copy_node_key(old, target, settings.keys.node),
                voting=None if voting is None else _copy_voting_keys(VotingKeys(voting, old), target),
            ),
            "pinned": type(settings.pinned)(),
        }
    )
    write_new(target / NODE_FILE, to_toml(here))
    if (old / CARD_FILE).exists():
        write_new(target / CARD_FILE, read_text(old / CARD_FILE))


def _copy_node_key(old: Path, target: Path, reference: str) -> str:
    """With the id of a new journal; a credential stays where it is."""
    if reference.startswith(CREDENTIAL_PREFIX):
        return reference
    text = of_journal(read_text(old / reference), secrets.token_bytes(JOURNAL_ID_BYTES))
    write_new(target / NODE_KEY, text, mode=0o600)
    return NODE_KEY


def _copy_voting_keys(keys: VotingKeys, target: Path) -> str:
    """The present key and the next one, as far as there are any, or the word that it was erased."""
    if keys.is_credential:
        return keys.reference
    for suffix in ("", NEXT, ERASED):
        source = keys.beside(suffix)
        if source.exists():
            write_new(target / f"{VOTING_KEY_FILE}{suffix}", read_text(source), mode=0o600)
    return VOTING_KEY_FILE


def _has_reported(node: Node, opened: Opened) -> bool:
    """Whether this is the very directory that one of the document's reports was made in, sealed as it was then.

    Raises OperatorFault if its key reported and the seal is not here: it may sign in the old network (R-1).
    """
    directory = node.data_directory
    _, records, health = look_at(directory / "journal", OsFiles(), node.network.network_id, node.journal_id)
    keys = (node.voting_key, None if node.voting_keys is None else node.voting_keys.successor())
    mine = {key.public for key in keys if key is not None}
    if not is_sealed(records) and any(witness.voting_key in mine for witness in opened.weighed.witnesses):
        words = f"the document has a report of this validator, and the journal in {directory} is not sealed"
        raise OperatorFault(f"{words}: the report was withdrawn, or this is a copy; begin from where it was made")
    kept = directory / KEPT
    return (
        health.state is JournalState.WHOLE
        and is_sealed(records)
        and kept.exists()
        and read_bytes(kept) in opened.document.reports
    )


def _take_begun(old: Path, network: Network) -> bool:
    """Mark the old directory; False if this network was begun from it before: then its keys may have signed there."""
    mark = data_directory(old) / BEGUN
    line = f"network:{network.network_id.hex()}"
    begun = read_bytes(mark).decode(errors="replace").splitlines() if mark.exists() else []
    if line in begun:
        return False
    write_whole(mark, "".join(f"{each}\n" for each in (*begun, line)).encode())
    return True
