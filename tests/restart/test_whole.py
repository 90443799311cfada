"""From survivors' disks to a node of the new network, without any process: report, plan, sign, begin, audit (0014).

The disks are a simulated network's that lost power in the middle of work, epochs and all; signatures are real.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.audit.audit import Wishes as Audited
from daemon.audit.audit import audit
from daemon.audit.places import find_place
from daemon.config.genesis import to_table
from daemon.config.keyfiles import write_new
from daemon.config.network import Network, NetworkFile
from daemon.config.node import ApiTable, KeysTable, Node, NodeFile, PeersTable, load_node
from daemon.config.texts import JOURNAL_ID, PUBLIC_KEY, SECRET_KEY, Address
from daemon.config.write import to_toml
from daemon.restart.beginning import _take_begun, begin
from daemon.restart.disk import bring_up, stopped_node
from daemon.restart.files import read_record, read_restart, write_restart
from daemon.restart.planning import Wishes, plan
from daemon.restart.reporting import report, withdraw
from daemon.runtime.workers import inherit as inheriting
from daemon.runtime.workers.inherit import inherit
from daemon.store.directory import create, inherited_directory
from daemon.store.errors import StateDamaged
from daemon.store.files import OsFiles
from daemon.store.journal import Journal, look_at
from daemon.store.pruning import Plan, prune
from daemon.store.segments import Segments
from daemon.store.tables import StateStore
from protocol.codec import decode, encode
from protocol.crypto.signing import SigningKey
from protocol.errors import RESTART_BAD_BLOCK, RESTART_NOT_APPROVED, OperatorFault
from protocol.ledger.closings import closings
from protocol.ledger.genesis import network_id
from protocol.ledger.index import BASE_KEY, Base, number_key, pack_base, pack_roots, read_head
from protocol.ledger.records import Batch, Block, Header
from protocol.ledger.succession import Succession
from protocol.ledger.tables import Table, Writes
from protocol.restart.document import approve, open_document, restart_file
from protocol.restart.opening import RestartRefused
from protocol.restart.records import Holdings, KeptBlocks
from protocol.sim.host import Host
from protocol.sim.signatures import Real
from protocol.sim.world import make_genesis
from tests.restart.survivors import Stopped, stopped
from tests.sim.named import SCENARIOS

CREATED_MS = 1_900_000_000_000


def key_text(purpose: str, key: SigningKey, journal_id: bytes | None = None) -> str:
    lines = [f'purpose = "{purpose}"', f'public = "{PUBLIC_KEY.format(key.public)}"']
    lines.append(f'secret = "{SECRET_KEY.format(key._secret[:32])}"')
    lines += [] if journal_id is None else [f'journal = "{JOURNAL_ID.format(journal_id)}"']
    return "\n".join(lines) + "\n"


def node_key_of(given: Stopped, host: Host) -> SigningKey:
    """The secret of a simulated machine's channel key."""
    scenario = given.world.scenario
    names = [f"{name} node" for name in make_genesis(scenario, Real())[1]]
    names += [f"observer {index} node" for index in range(scenario.observers)]
    return next(key for key in map(Real().key, names) if key.public == host.setup.node_key)


def directory_of(folder: Path, given: Stopped, host: Host, voting: SigningKey) -> Path:
    """The disk of a simulated machine, as a node's directory."""
    genesis, network = given.world.genesis, given.world.network_id
    (folder / "keys").mkdir(parents=True)
    journal_id = bytes([host.index]) * 16
    write_new(folder / "keys/node.key", key_text("node", node_key_of(given, host), journal_id), mode=0o600)
    write_new(folder / "keys/voting.key", key_text("voting", voting), mode=0o600)
    write_new(folder / "network.toml", to_toml(NetworkFile(network_id=network, genesis=to_table(genesis))))
    settings = NodeFile(
        network="network.toml",
        keys=KeysTable(voting="keys/voting.key"),
        peers=PeersTable(listen=Address("127.0.0.1", 7100)),
        api=ApiTable(listen=Address("127.0.0.1", 8100)),
    )
    write_new(folder / "node.toml", to_toml(settings))
    create(folder / "data", network, journal_id)
    journal, _, _ = Journal.open(folder / "data/journal", OsFiles(), network, journal_id)
    journal.append([(int(record.kind), record.data) for record in host.disk.journal])
    journal.close()
    segments = Segments.open(folder / "data/segments", OsFiles(), network, segment_bytes=50_000)
    for height, block in enumerate(host.disk.blocks, 1):
        segments.append(height, block.data)
        segments.sync()
    segments.close()
    return folder


def test_from_disks_to_a_node_of_the_new_network(tmp_path: Path) -> None:
    scenario = replace(SCENARIOS["changes"], real_signatures=True)
    given = stopped(scenario, 2, 2_900, Random("whole"))
    nodes = [directory_of(tmp_path / f"old-{host.index}", given, host, key) for host, key in given.survivors]
    nodes.sort(key=lambda folder: -given.world.hosts[int(folder.name[4:])].disk.blocks.last)
    for folder in nodes:
        report(load_node(folder / "node.toml"), tmp_path / folder.name)
    wishes = Wishes(tuple(tmp_path / f"{folder.name}.report" for folder in nodes), CREATED_MS)
    restart = tmp_path / "restart"
    _plans_only_with_signed_batches(nodes, wishes, tmp_path)
    opened = plan(load_node(nodes[0] / "node.toml"), wishes, restart)
    assert opened.weighed.certain
    again = plan(load_node(nodes[0] / "node.toml"), wishes, tmp_path / "again")
    assert again.digest == opened.digest, "a plan is checked by making it again"

    with pytest.raises(RestartRefused) as caught:
        begin(nodes[0], tmp_path / "early", restart)
    assert caught.value.code == RESTART_NOT_APPROVED
    document = read_restart(restart).document
    given_by = [approve(opened, Real().key(f"{voice.name} account")) for voice in opened.voices[: opened.needed]]
    write_restart(restart, restart_file(document, given_by))

    _begins_only_with_signed_batches(nodes[1], tmp_path, restart)
    _fresh_once(nodes[1], tmp_path, restart)
    _begins_only_from_what_was_executed_here(nodes[0], tmp_path, restart)
    for folder in nodes:  # the one that is behind gets the last blocks from the restart's folder
        target = tmp_path / f"new-{folder.name}"
        node, begun = begin(folder, target, restart)
        assert not forgets(node), "its first node of this network"
        assert node.network.genesis == begun.succession == open_document(document).succession
        state = inherited_directory(node.data_directory) / "state"
        _state_is_inherited(tmp_path / f"state-{folder.name}", state, begun.succession)
    found = audit(Audited(opened.succession, find_place(tmp_path / f"new-{nodes[0].name}"), scratch=tmp_path))
    assert found.differences == []
    assert "followed to network" in "".join(found.notes)


def _unsigned(batch: bytes) -> bytes:
    """The same by its digest."""
    return encode(replace(decode(Batch, batch), signature=bytes(64)))


def _plans_only_with_signed_batches(nodes: list[Path], wishes: Wishes, tmp_path: Path) -> None:
    """R-15: holdings are signed by nobody; a copy without its author's signature does not displace a good one."""
    files = [tmp_path / f"{folder.name}.holdings" for folder in nodes]
    good = [file.read_bytes() for file in files]
    for file in files:
        held = read_record(Holdings, file)
        file.write_bytes(encode(replace(held, batches=tuple(map(_unsigned, held.batches)))))
    with pytest.raises(RestartRefused, match="without the signature of its author") as caught:
        plan(load_node(nodes[0] / "node.toml"), wishes, tmp_path / "unsigned")
    assert caught.value.code == RESTART_BAD_BLOCK
    assert not any((tmp_path / "unsigned").iterdir())
    first, last = (decode(Holdings, data) for data in good)
    files[0].write_bytes(good[0])
    files[1].write_bytes(encode(replace(last, batches=tuple(map(_unsigned, first.batches)))))


def _begins_only_with_signed_batches(folder: Path, tmp_path: Path, restart: Path) -> None:
    """R-15: the folder's blocks are signed by nobody."""
    kept = read_record(KeptBlocks, restart / "blocks")
    block = decode(Block, kept.blocks[-1])
    assert block.batches, "the last kept block, which no survivor had appended, has a batch"
    forged = replace(block, batches=tuple(map(_unsigned, block.batches)))
    copy = Path(shutil.copytree(restart, tmp_path / "forged"))
    (copy / "blocks").write_bytes(encode(replace(kept, blocks=(*kept.blocks[:-1], encode(forged)))))
    with pytest.raises(RestartRefused, match="is not signed by its author") as caught:
        begin(folder, tmp_path / "new-forged", copy)
    assert caught.value.code == RESTART_BAD_BLOCK
    assert not (folder / "data/restart.begun").exists()
    assert not (tmp_path / "new-forged/data").exists()


def forgets(node: Node) -> bool:
    """Whether its new journal says that its validator may have signed before."""
    network = node.network.network_id
    return not look_at(node.data_directory / "journal", OsFiles(), network, node.journal_id)[2].remembers


def _fresh_once(folder: Path, tmp_path: Path, restart: Path) -> None:
    """C-24: a second node of the same keys has no memory, nor has one from a directory that has not reported."""

    def begun(old: Path, name: str) -> bool:
        return forgets(begin(old, tmp_path / name, restart)[0])

    def copy(name: str) -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    other = copy("other-report")
    (other / "data/restart.report").write_bytes((tmp_path / "restart/blocks").read_bytes())
    assert begun(other, "new-other-report")
    damaged = copy("damaged")
    journal = max((damaged / "data/journal").glob("*.log"))
    data = bytearray(journal.read_bytes())
    data[200] ^= 1
    journal.write_bytes(data)
    assert begun(damaged, "new-damaged")
    twice = copy("twice")
    assert not begun(twice, "new-once")
    assert begun(twice, "new-twice")
    withdrawn = copy("withdrawn")
    withdraw(load_node(withdrawn / "node.toml"))
    with pytest.raises(OperatorFault, match="is not sealed"):
        begun(withdrawn, "new-withdrawn")
    assert not (withdrawn / "data/restart.begun").exists()


def _begins_only_from_what_was_executed_here(folder: Path, tmp_path: Path, restart: Path) -> None:
    """A state that came by a snapshot, and one that has another block at the kept height."""
    snapped, other = (Path(shutil.copytree(folder, tmp_path / name)) for name in ("snapped", "other-block"))
    network = load_node(folder / "node.toml").network.network_id
    state = StateStore.open(snapped / "data/state", network, writer=True)
    height = state.height
    assert height is not None
    state.commit([{(Table.META, BASE_KEY): pack_base(Base(2, 1, 0, bytes(32)))}], height)
    state.close()
    with pytest.raises(OperatorFault, match="snapshot"):
        begin(snapped, tmp_path / "new-snapped", restart)
    assert not (snapped / "data/restart.begun").exists()
    assert not (tmp_path / "new-snapped/inherited.unfinished").exists(), "it is told before anything is copied"
    state = StateStore.open(other / "data/state", network, writer=True)
    blocks = read_record(KeptBlocks, restart / "blocks").blocks
    above = {decode(Header, decode(Block, data).header).height: data for data in blocks}
    height = max(above)
    bring_up(state, load_node(folder / "node.toml").network.genesis, tmp_path, above.get, height)
    with state.reader() as reader:
        changed = pack_roots(read_head(reader)._replace(header_hash=bytes(32)))
    state.commit([{(Table.ROOTS, number_key(height)): changed}], height)
    state.close()
    with pytest.raises(RestartRefused, match="another block"):
        begin(other, tmp_path / "new-other-block", restart)


def test_each_network_is_begun_once_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    networks = {name: SimpleNamespace(network_id=name.encode() * 32) for name in "AB"}
    first = [_take_begun(tmp_path, cast(Network, networks[name])) for name in "AABBBA"]
    assert first == [True, False, True, False, False, False]


def test_a_pruned_directory_reports_how_epochs_ended(tmp_path: Path) -> None:
    """Closing blocks that are not kept any more: how they ended is kept beside."""
    scenario = replace(SCENARIOS["changes"], real_signatures=True)
    given = stopped(scenario, 4, 3_500, Random("whole"))
    node = load_node(directory_of(tmp_path / "old", given, *given.survivors[0]) / "node.toml")
    with stopped_node(node) as found:
        whole, store = found.held, found.store
        assert whole.closed, "an epoch ended"
        gone = tuple(store.segments.sealed)
        assert store.state is not None
        with store.state.reader() as reader:
            assert closings(reader)[0].height < gone[-1][1], "its closing block goes"
            prune(store.directory, OsFiles(), store.segments, reader, Plan(gone[-1][1], gone, gone[-1][1], "test"))
    with stopped_node(node) as found:
        assert found.store.segments.first_height == gone[-1][1]
        assert found.held == whole


def _state_is_inherited(folder: Path, source: Path, genesis: Succession) -> None:
    """A state is made of it, and of a damaged one none is (L-22: the roots are those of genesis)."""

    state = StateStore.open(folder, network_id(genesis), writer=True)
    with pytest.MonkeyPatch.context() as patched:  # in many portions: their sizes bound the memory
        for name, size in (("_ROWS_READ", 3), ("ROWS_AT_ONCE", 5), ("BYTES_AT_ONCE", 400)):
            patched.setattr(inheriting, name, size)
        fill, largest = state.fill, 0

        def filling(writes: Writes) -> None:
            nonlocal largest
            largest = max(largest, len(writes))
            fill(writes)

        patched.setattr(state, "fill", filling)
        inherit(state, genesis, source)
    assert largest < 64, "a page's places, a portion of rows with the trie's branches"
    with state.reader() as reader:
        assert read_head(reader).executed == genesis.begins
        places = reader.scan(Table.PLACE, b"", limit=100_000)
        key, value = reader.scan(Table.STATE, b"", limit=1)[0]
    state.close()
    damaged = StateStore.open(source, network_id(genesis), writer=True)
    with damaged.reader() as reader:
        assert places == reader.scan(Table.PLACE, b"", limit=100_000), "made of the pages"
    assert places, "the old network has recorded what is only ever added"
    damaged.commit([{(Table.STATE, key): value + b"!"}], genesis.begins.height)
    damaged.close()
    state = StateStore.open(folder, network_id(genesis), writer=True)
    with pytest.raises(StateDamaged):
        inherit(state, genesis, source)
    assert state.height is None
    state.close()
    repaired = StateStore.open(source, network_id(genesis), writer=True)
    repaired.commit([{(Table.STATE, key): value}], genesis.begins.height)
    repaired.close()
