"""From reports to a restart document, on the machine of one survivor (decision 0014).

Reports are read and weighed; the blocks above the own segments are put together from the headers and batches that the
survivors' disks hold, every hash and author's signature checked; the state is copied and executed up to the last kept
block; what the members decided is carried out on it. The document is made of that, with the last kept blocks for those
whose disks lack them, and the new network.toml.

Nothing of the old directory is changed. Two survivors who plan with the same files and the same time get the same
document, so a plan can be checked by making it again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.config.card import CardTable
from daemon.config.genesis import to_table
from daemon.config.keyfiles import write_new
from daemon.config.network import Network, NetworkFile, NodeAddress
from daemon.config.node import Node
from daemon.config.write import to_toml
from daemon.restart.disk import StoppedNode, Tell, bring_up, stopped_node, untold
from daemon.restart.files import BLOCKS, DOCUMENT, HOLDINGS, REPORT, read_bytes, read_record, write_restart, write_whole
from daemon.runtime.workers.overlay import Overlay
from daemon.store.directory import inherited_directory
from daemon.store.tables import StateStore
from protocol import limits
from protocol.apps.members.records import AddMember, AddValidator, RemoveMember, RemoveValidator
from protocol.codec import decode, encode
from protocol.consensus.statements import VoteKind
from protocol.errors import RESTART_BAD_BLOCK, RESTART_UNCERTAIN, OperatorFault
from protocol.ledger.genesis import Genesis, Parameters
from protocol.ledger.index import read_roots
from protocol.ledger.members import is_member
from protocol.ledger.records import (
    Batch,
    BatchBody,
    Block,
    Envelope,
    Header,
    account_name,
    batch_digest,
    header_hash,
    transaction_id,
)
from protocol.ledger.state import StateReader
from protocol.ledger.tables import Reader
from protocol.restart.beginning import changed_state, taking_part
from protocol.restart.blocks import check_path, is_signed
from protocol.restart.document import Opened, make_document
from protocol.restart.opening import OpenedReport, RestartRefused, open_report
from protocol.restart.records import Decided, Holdings, KeptBlocks, RestartFile
from protocol.restart.weighing import Weighed, weigh

KEPT_BLOCKS_BYTES: Final = 64 * limits.MIB
"""About so much is written of last kept blocks; whose disk lacks more takes another member's directory."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the members decided. reports: files. cards: of validators that come in. remove_members: by name.

    name, parameters: None for the old ones. created_ms: when. uncertain: go on although something final may be missing.
    """

    reports: tuple[Path, ...]
    created_ms: int
    cards: tuple[CardTable, ...] = ()
    remove_members: tuple[str, ...] = ()
    name: str | None = None
    parameters: Parameters | None = None
    uncertain: bool = False
    words: str = ""


@dataclass(slots=True)
class Pool:
    """Headers by hash and batches by digest, of all disks together, of one network."""

    network_id: bytes
    headers: dict[bytes, bytes] = field(default_factory=dict)
    batches: dict[bytes, bytes] = field(default_factory=dict)
    finalizations: dict[bytes, bytes] = field(default_factory=dict)
    """Of headers that a report proves final, by hash."""
    unsigned: dict[bytes, Path] = field(default_factory=dict)
    """Digests of batches that stand in a file without their author's signature, which no digest covers."""

    def add(self, found: Holdings, file: Path) -> None:
        """Take in what one disk holds: named by what it is, so a lie finds nobody who asks for it."""
        self.headers |= {header_hash(decode(Header, data)): data for data in found.headers}
        for data in found.batches:
            digest = batch_digest(decode(Batch, data).body)
            if is_signed(self.network_id, data):
                self.batches[digest] = data
            else:
                self.unsigned[digest] = file

    def batches_of(self, header: Header) -> tuple[bytes, ...]:
        """All batches of a block. Raises RestartRefused, OperatorFault if one is on no disk as its author sealed it."""
        lacking = next((each for each in header.references if each.digest not in self.batches), None)
        if lacking is None:
            return tuple(self.batches[reference.digest] for reference in header.references)
        file = self.unsigned.get(lacking.digest)
        if file is None:
            raise OperatorFault(f"a batch of block {header.height} is in none of the holdings beside the reports")
        words = f"block {header.height}: batch {lacking.digest.hex()} stands in {file} without the signature of its"
        words += f" author {lacking.author.hex()}, and nowhere with it"
        raise RestartRefused(RESTART_BAD_BLOCK, f"{words}: ask for that file again, or for another disk's")

    def learn(self, one: OpenedReport) -> None:
        """Take in the finalizations that a verified report shows."""
        final = [] if one.report.final is None else [one.report.final.finalization]
        closing = [ended.finalization for ended in one.report.closed]
        for certificate in (*closing, *final, *one.report.certificates):
            if certificate.kind == VoteKind.FINALIZE and certificate.proposal is not None:
                self.finalizations[certificate.proposal.payload] = encode(certificate)


def plan(node: Node, wishes: Wishes, out: Path, tell: Tell = untold) -> Opened:
    """Make the restart document of these reports in the folder `out` (new or empty).

    Raises RestartRefused (with all that is uncertain in the words), OperatorFault, InUse, and what a disk may raise.
    """
    genesis = node.network.genesis
    data = [read_bytes(file) for file in wishes.reports]
    reports = [open_report(genesis, one) for one in dict.fromkeys(data)]
    weighed = weigh(genesis, reports)
    if not weighed.certain and not wishes.uncertain:
        raise RestartRefused(RESTART_UNCERTAIN, uncertain_words(weighed))
    pool = Pool(weighed.network_id)
    for one in reports:
        pool.learn(one)
    for file in wishes.reports:
        beside = file.with_name(file.name.removesuffix(REPORT) + HOLDINGS)
        if beside.exists():
            pool.add(read_record(Holdings, beside), beside)
    _begin(out)
    with stopped_node(node, tell) as stopped:
        above = blocks_above(stopped, weighed, pool)
        with _scratch_state(stopped, above, weighed.tip.height, tell) as state, state.reader() as reader:
            decided = _decide(genesis, reader, weighed, wishes)
            cut = cut_transactions(weighed, pool)
            document, opened = make_document(
                genesis, data, reader, decided, cut=cut, uncertain=not weighed.certain, words=wishes.words
            )
        kept = _kept_blocks(stopped, above, weighed)
    write_restart(out / DOCUMENT, RestartFile(document, ()))
    write_whole(out / BLOCKS, encode(kept))
    write_new(out / "network.toml", to_toml(network_file(opened, node.network, wishes.cards)))
    return opened


def uncertain_words(weighed: Weighed) -> str:
    """What is uncertain, for who may go on all the same."""
    voters = weighed.validators
    words = [f"reports of power {weighed.counted} of {voters.total} count, {voters.blocking} are needed"]
    words += [f"{w.voting_key.hex()[:16]}: {w.words}" for w in weighed.witnesses if w.words]
    if weighed.next_unknown:
        words.append("the last block ends its epoch, and the next one may have begun with others")
    words += [
        f"block {cut.hash.hex()[:16]} may be final and is not held whole" for cut in weighed.cut if cut.may_be_final
    ]
    return "; ".join(words)


def _begin(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OperatorFault(f"{out} is not empty: nothing is overwritten; name a new folder")
    except OSError as error:
        raise OperatorFault(f"{out} cannot be made: {(error.strerror or str(error)).lower()}") from error


# -- Blocks -----------------------------------------------------------------------------------------


def blocks_above(stopped: StoppedNode, weighed: Weighed, pool: Pool) -> dict[int, bytes]:
    """Encoded blocks above the own segments up to the last kept one, judged by R-15.

    Raises OperatorFault if a part is on no disk, RestartRefused.
    """
    segments, found = stopped.store.segments, dict[int, bytes]()
    header, hashed = weighed.tip, header_hash(weighed.tip)
    while header.height > segments.last_height:
        batches = pool.batches_of(header)
        found[header.height] = encode(Block(encode(header), batches, pool.finalizations.get(hashed)))
        hashed = header.parent
        if header.height == segments.last_height + 1:
            break
        below = pool.headers.get(hashed)
        if below is None:
            words = f"block {header.height - 1} is in none of the holdings: plan on the survivor that is final highest"
            raise OperatorFault(words)
        header = decode(Header, below)
    if found:
        check_path(weighed, found, segments.last_height)
    _check_fits(stopped, header, hashed, found)
    return found


def _check_fits(stopped: StoppedNode, header: Header, hashed: bytes, found: Mapping[int, bytes]) -> None:
    """The blocks stand on what is final here; if there are none, the last kept one is here."""
    segments = stopped.store.segments
    height = segments.last_height if found else header.height
    data = segments.read(height)
    here = stopped.node.network.network_id if height == 0 else b""
    if data is not None:
        here = header_hash(decode(Header, decode(Block, data).header))
    if here != hashed or height < segments.last_height:
        words = f"block {height} of this directory is not on the path that is kept: two histories, or a damaged disk"
        raise OperatorFault(words)


def cut_transactions(weighed: Weighed, pool: Pool) -> list[bytes]:
    """Transactions of blocks that are not kept, as far as their batches are held, and that no kept block has."""
    kept = {reference.digest for header in weighed.kept for reference in header.references}
    cut = {reference.digest for block in weighed.cut for reference in block.references} - kept
    found: list[bytes] = []
    for data in [pool.batches[digest] for digest in sorted(cut) if digest in pool.batches]:
        envelopes = decode(BatchBody, decode(Batch, data).body).envelopes
        found += [transaction_id(decode(Envelope, envelope).body) for envelope in envelopes]
    return found[: limits.REPORT_BATCHES_MAX]


def _kept_blocks(stopped: StoppedNode, above: Mapping[int, bytes], weighed: Weighed) -> KeptBlocks:
    """From the lowest survivor's final block on, the newest that fit."""
    lowest = min([witness.height for witness in weighed.witnesses], default=0)
    blocks: list[bytes] = []
    size = 0
    for height in range(weighed.tip.height, max(0, lowest - 1), -1):
        data = above.get(height) or stopped.store.segments.read(height)
        if data is None or (blocks and size + len(data) > KEPT_BLOCKS_BYTES) or len(blocks) == limits.REPORT_ITEMS_MAX:
            break
        blocks.append(data)
        size += len(data)
    return KeptBlocks(tuple(reversed(blocks)))


@contextmanager
def _scratch_state(stopped: StoppedNode, above: Mapping[int, bytes], height: int, tell: Tell) -> Iterator[StateStore]:
    """The old state at the last kept block, in a folder that is removed afterwards."""
    store, genesis = stopped.store, stopped.node.network.genesis
    assert store.state is not None, "opened to write"
    with tempfile.TemporaryDirectory(prefix="papilio-restart-", dir=stopped.node.data_directory) as folder:
        place = Path(folder) / "state"
        store.state.copy_to(place)
        with closing(StateStore.open(place, store.network_id, writer=True)) as state:
            inherited = inherited_directory(stopped.node.data_directory) / "state"
            bring_up(state, genesis, inherited, lambda at: above.get(at) or store.segments.read(at), height, tell)
            yield state


# -- Decisions --------------------------------------------------------------------------------------


def _decide(genesis: Genesis, reader: Reader, weighed: Weighed, wishes: Wishes) -> Decided:
    roots = read_roots(reader, weighed.tip.height)
    if roots is None or roots.header_hash != header_hash(weighed.tip):
        raise OperatorFault("this directory has executed another block at the kept height: papilio store check")
    changes = tuple(encode(change) for change in _changes(genesis, reader, weighed, wishes))
    writes, begins = changed_state(reader, changes)
    after = Overlay(reader)
    after.apply(writes)
    part = taking_part(after)
    return Decided(
        wishes.name or genesis.name,
        max(wishes.created_ms, weighed.tip.time_ms + 1),
        wishes.parameters or genesis.parameters,
        changes,
        part.members,
        part.validators,
        part.observers,
        begins,
    )


def _changes(
    genesis: Genesis, reader: Reader, weighed: Weighed, wishes: Wishes
) -> list[AddMember | AddValidator | RemoveMember | RemoveValidator]:
    """Who comes in, then who leaves: validators that did not report, and members by name."""
    state = StateReader(reader)
    changes: list[AddMember | AddValidator | RemoveMember | RemoveValidator] = []
    joined: set[str] = set()
    for card in wishes.cards:
        if card.voting_key is None:
            raise OperatorFault(f"the card of {card.member} has no voting key: only validators come in by a restart")
        if not is_member(card.member, state) and card.member not in joined:
            if len(card.account_keys) != 1 or card.threshold != 1:
                raise OperatorFault(f"{card.member} is new, and joins with one account key; it can set more later")
            account = account_name(card.account_keys[0])
            changes.append(AddMember(card.member, account, genesis.parameters.state_quota_bytes))
            joined.add(card.member)
        changes.append(AddValidator(card.member, card.node_key, card.voting_key, card.power))
    removed = [RemoveMember(name) for name in wishes.remove_members]
    present = taking_part(reader).validators
    reported = {witness.voting_key for witness in weighed.witnesses}
    staying = [v for v in present if v.member not in wishes.remove_members]
    gone = [RemoveValidator(v.voting_key) for v in staying if v.voting_key not in reported]
    if len(gone) == len(staying) and not wishes.cards:
        words = "no validator of the last set has reported and stays, so nobody would vote"
        raise OperatorFault(f"{words}: bring in new ones (papilio node create, then --card member.toml)")
    return [*changes, *gone, *removed]


def network_file(opened: Opened, old: Network, cards: Sequence[CardTable]) -> NetworkFile:
    """The new network's file: addresses as the old one has them, and as the cards say."""
    addresses = dict(old.addresses) | {card.node_key: card.address for card in cards if card.address is not None}
    whose = {v.node_key: v.member for v in opened.succession.validators}
    whose |= {o.node_key: o.member or "" for o in opened.succession.observers}
    nodes = tuple(
        NodeAddress(node_key=key, address=address, note=whose[key] or None)
        for key, address in addresses.items()
        if key in whose
    )
    return NetworkFile(network_id=opened.network_id, genesis=to_table(opened.succession), nodes=nodes)
