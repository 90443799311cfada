"""A history on disk as a node leaves it, and ways to spoil it afterwards, with every check of the files made right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import lmdb

from daemon.audit.audit import Wishes, audit
from daemon.audit.findings import Report
from daemon.audit.places import find_place
from daemon.store.directory import create
from daemon.store.files import OsFiles
from daemon.store.segments import Segments
from daemon.store.squeeze import unsqueeze
from daemon.store.tables import StateStore
from protocol.codec import decode, encode
from protocol.consensus.rotation import Rotation
from protocol.consensus.statements import Certificate
from protocol.consensus.validators import Validators
from protocol.ledger.added import is_page
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import number_key
from protocol.ledger.members import USAGE
from protocol.ledger.records import Block, Header, Receipt, header_hash
from protocol.ledger.tables import Table, Writes
from tests.ledger.world import World
from tests.proofs.chain import certificate
from tests.runtime.ledgers import batch, many, real_world

HEIGHT = 8
SEGMENT_BYTES = 4_000
"""Some blocks a file, so that a history has several."""
Alter = Callable[[int, Block], Block | None]


def made_world(blocks: int = HEIGHT) -> World:
    """Blocks of two batches or none, by turns."""
    world = real_world()
    for height in range(1, blocks + 1):
        if height % 3 == 0:
            world.block()
            continue
        first = 10 * height
        world.block(batch(world, many(world, first, 3)), batch(world, many(world, first + 3, 2), author=1))
    return world


def view_of(world: World, header: Header) -> int:
    """A view that the header's proposer leads."""
    entries = world.genesis.validators
    validators = Validators(tuple(v.voting_key for v in entries), tuple(v.power for v in entries))
    rotation = Rotation(world.network_id, header.epoch, validators)
    wanted = validators.index_of(header.proposer)
    return next(view for view in range(4 * header.height, 4 * header.height + 8) if rotation.leader(view) == wanted)


def certified(world: World, header: Header, signers: Sequence[int] = (0, 1, 2)) -> Certificate:
    """A certificate of the header by these places of the set."""
    return certificate(world.network_id, header_hash(header), signers, view=view_of(world, header))


def blocks_of(world: World) -> list[Block]:
    """As a node appends them: every second one has a certificate of its own."""
    return [
        Block(encode(header), batches, encode(certified(world, header)) if header.height % 2 == 0 else None)
        for header, batches in world.blocks
    ]


def keep(world: World) -> Alter:
    """Leaves everything as it is."""
    del world
    return lambda _height, block: block


def write_segments(directory: Path, world: World, alter: Alter | None = None) -> None:
    """All blocks, altered or left out, under checks that are right. A block that is left out ends a file."""
    segments: Segments | None = None
    for height, block in enumerate(blocks_of(world), 1):
        written = block if alter is None else alter(height, block)
        if written is None:
            if segments is not None:
                segments.close()
                segments = None
            continue
        if segments is None:
            segments = begin(directory, world, height)
        segments.append(height, encode(written))
        segments.sync()
    if segments is not None:
        segments.close()


def begin(directory: Path, world: World, height: int) -> Segments:
    """Segments that go on at `height`, whatever stands before."""
    folder = directory / f"from-{height}"
    folder.mkdir()
    segments = Segments.open(folder, OsFiles(), world.network_id, segment_bytes=SEGMENT_BYTES)
    close = segments.close

    def closing() -> None:
        close()
        for file in folder.iterdir():
            file.rename(directory / file.name)
        folder.rmdir()

    segments.close = closing  # type: ignore[method-assign]
    return segments


def writes_of(world: World, blocks: int) -> list[Writes]:
    """What executing genesis and so many blocks writes."""
    fresh = World(world.genesis, list(world.rules.applications.values()))
    found = [genesis_state(world.genesis, world.rules).writes]
    for header, batches in world.blocks[:blocks]:
        done = fresh.execute(header, batches)
        fresh.tables.apply(done.writes)
        found.append(done.writes)
    return found


def write_state(
    directory: Path, world: World, blocks: int, alter: Callable[[list[Writes]], None] = lambda _: None
) -> None:
    """A state store at this height."""
    writes = writes_of(world, blocks)
    alter(writes)
    store = StateStore.open(directory, world.network_id, writer=True)
    store.commit(writes, blocks)
    store.close()


def node_directory(path: Path, world: World, *, alter: Alter | None = None, executed: int | None = HEIGHT) -> Path:
    """A node's data directory; without a state store if `executed` is None."""
    create(path, world.network_id, bytes(16))
    write_segments(path / "segments", world, alter)
    if executed is not None:
        write_state(path / "state", world, executed)
    return path


def rewrite_state(directory: Path, world: World, blocks: int) -> None:
    """Another state store in the place of the one that is there."""
    shutil.rmtree(directory)
    write_state(directory, world, blocks)


def judged(world: World, path: Path, **wishes: object) -> Report:
    """The audit of a directory, scratch beside it."""
    return audit(Wishes(world.genesis, find_place(path), scratch=path.parent, **wishes))  # type: ignore[arg-type]


def header_of(block: Block) -> Header:
    return decode(Header, block.header)


def with_header(block: Block, **changes: object) -> Block:
    """The block under another header; its certificate stays."""
    return replace(block, header=encode(replace(header_of(block), **changes)))  # type: ignore[arg-type]


def only(height: int, change: Callable[[Block], Block | None]) -> Alter:
    """Alters one block."""
    return lambda at, block: change(block) if at == height else block


def alter_stored(directory: Path, table: Table, key: bytes, change: Callable[[bytes], bytes | None]) -> None:
    """Change a value in a state store by hand."""
    environment = lmdb.open(str(directory), max_dbs=20, map_size=1 << 28)
    database = environment.open_db(table.value.encode(), create=False)
    with environment.begin(write=True) as transaction:
        stored = (b"\x02" if table is Table.STATE and is_page(key) else b"\x01") + key
        before = transaction.get(stored, db=database)
        assert before is not None, f"{table} has no {key.hex()}"
        after = change(unsqueeze(before))
        if after is None:
            transaction.delete(stored, db=database)
        else:
            transaction.put(stored, after, db=database)
    environment.close()


def alter_name(directory: Path, table: Table, row: bytes, other: bytes) -> None:
    """Put another row in the place of one of a table of names, by hand."""
    environment = lmdb.open(str(directory), max_dbs=20, map_size=1 << 28)
    database = environment.open_db(table.value.encode(), create=False)
    with environment.begin(write=True) as transaction:
        assert transaction.delete(b"\x01", row, database), f"{table} has no {row.hex()}"
        transaction.put(b"\x01", other, db=database)
    environment.close()


def alter_receipt(directory: Path, log_index: int, **changes: object) -> None:
    """Change a stored receipt's fields."""

    def change(data: bytes) -> bytes:
        return encode(replace(decode(Receipt, data), **changes))  # type: ignore[arg-type]

    alter_stored(directory, Table.RECEIPT, number_key(log_index), change)


def flip(file: Path, offset: int) -> None:
    """Turn one bit over."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def usage_prefix() -> bytes:
    """How the keys of the members' usage begin."""
    return USAGE.key(("x",))[:-2]
