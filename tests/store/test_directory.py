"""The data directory (L-27): one node at a time, the right network and format, everything durable from the start."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.store import directory as layout
from daemon.store.directory import StateAccess, create, open_directory, open_to_read
from daemon.store.files import OsFiles
from daemon.store.journal import Journal, JournalState
from protocol.errors import OperatorFault
from protocol.ledger.tables import Table
from tests.store.disk import Disk, crashes

NETWORK = bytes(range(32))
ID = b"journal-id-16-by"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def place(tmp_path: Path) -> Path:
    create(tmp_path / "node", NETWORK, ID)
    return tmp_path / "node"


def test_what_is_written_is_there_after_a_restart(place: Path) -> None:
    store = open_directory(place, NETWORK, ID)
    assert store.recovered == ()
    assert store.health.remembers
    assert store.reports() == []
    store.journal.append([(1, b"vote")])
    store.journal.sync()
    store.segments.append(1, b"block")
    assert store.state is not None
    store.state.commit([{(Table.META, b"height"): b"1"}], 1)
    assert store.free_bytes() > 0
    store.close()
    again = open_directory(place, NETWORK, ID)
    assert again.recovered == ((1, b"vote"),)
    assert again.segments.read(1) == b"block"
    assert again.state is not None
    assert again.state.height == 1
    assert again.reports() == []
    again.close()


def test_nothing_is_readable_by_others(place: Path) -> None:
    store = open_directory(place, NETWORK, ID)
    store.segments.append(1, b"block")
    store.close()
    paths = [place, *place.rglob("*")]
    assert len(paths) >= 10
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_directory_in_use_is_refused_with_the_pid(place: Path) -> None:
    """L-27: a lock file forbids two nodes on one directory, and lets go when its holder dies."""
    program = (
        "import sys; from pathlib import Path; from daemon.store.directory import open_directory\n"
        f"store = open_directory(Path(sys.argv[1]), {NETWORK!r}, {ID!r})\nprint('open', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(place)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(OperatorFault, match=rf"another papilio runs on .* \(pid {child.pid}\)"):
            open_directory(place, NETWORK, ID)
        onlooker = open_to_read(place, NETWORK)
        assert onlooker.state.height is None
        onlooker.close()
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    open_directory(place, NETWORK, ID).close()


def test_two_in_one_process_are_refused_too(place: Path) -> None:
    store = open_directory(place, NETWORK, ID)
    with pytest.raises(OperatorFault, match="another papilio"):
        open_directory(place, NETWORK, ID)
    store.close()


@pytest.mark.parametrize(
    "content, words",
    [
        ({"format": 2, "network_id": NETWORK.hex()}, "format 2, this program knows 1"),
        ({"format": 1, "network_id": bytes(32).hex()}, "belongs to network 00"),
        ({"format": "x", "network_id": NETWORK.hex()}, "cannot be read"),
        ({"network_id": NETWORK.hex()}, "cannot be read"),
        ([], "cannot be read"),
        (None, "creation was interrupted"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_and_nothing_is_touched(place: Path, content: object, words: str) -> None:
    """L-27: a format version forbids an old program on new data."""
    path = place / "format.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(json.dumps(content, indent=1) + "\n")
    before = sorted(place.rglob("*"))
    with pytest.raises(OperatorFault, match=words):
        open_directory(place, NETWORK, ID)
    assert sorted(place.rglob("*")) == before


def test_a_directory_with_anything_in_it_is_not_made_into_one(tmp_path: Path, place: Path) -> None:
    with pytest.raises(OperatorFault, match="not empty"):
        create(place, NETWORK, ID)
    with pytest.raises(OperatorFault, match="not empty"):
        create(tmp_path, NETWORK, ID)


def test_a_part_that_cannot_be_opened_leaves_nothing_locked(place: Path) -> None:
    segment = place / "segments" / "00000000000000000001.seg"
    segment.write_bytes(b"x" * 200)
    for _ in range(2):
        with pytest.raises(Exception, match="header is damaged"):
            open_directory(place, NETWORK, ID)
    segment.unlink()
    open_directory(place, NETWORK, ID).close()


def test_what_a_start_found_is_reported_in_words(place: Path) -> None:
    store = open_directory(place, NETWORK, ID)
    store.segments.append(1, b"block")
    store.close()
    segment = place / "segments" / "00000000000000000001.seg"
    segment.write_bytes(segment.read_bytes() + b"torn")
    (place / "state" / "data.mdb").write_bytes(b"x" * 20_000)
    store = open_directory(place, NETWORK, ID)
    torn, dropped = store.reports()
    assert torn == "segments: a torn tail of 4 bytes after block 1 was cut"
    assert dropped.startswith("state: dropped, to be rebuilt from the segments: LMDB could not read it")
    store.close()


@pytest.mark.parametrize("access", list(StateAccess))
def test_the_state_can_belong_to_another_process(place: Path, access: StateAccess) -> None:
    open_directory(place, NETWORK, ID).close()
    store = open_directory(place, NETWORK, ID, state=access)
    assert (store.state is None) is (access is StateAccess.NONE)
    store.close()


def test_a_journal_that_is_not_whole_is_reported_and_the_rest_opens(place: Path) -> None:
    (place / "journal" / "journal-00000001.log").unlink()
    store = open_directory(place, NETWORK, ID)
    assert store.health.state is JournalState.ABSENT
    assert store.reports() == [f"journal: there is no journal in {place / 'journal'}"]
    store.close()


def test_a_crash_at_every_step_of_creation_leaves_a_whole_one_or_none() -> None:
    """C-24: the journal with its id is durable before the directory counts as created."""
    node = Path("/node")
    directories = {node, node / "journal", node / "segments", Path("/")}
    disk = Disk(directories={Path("/")}, promised=False)
    create(node, NETWORK, ID, disk)
    disk.promised = True
    disk.step("created")
    whole = 0
    for number, moment in enumerate(disk.moments):
        for words, cut in crashes(moment, directories):
            where = f"step {number} ({moment.step}), {words}"
            try:
                layout.check_format(node, NETWORK, cut)
            except OperatorFault:
                assert not moment.promised, where
            else:
                _, records, health = Journal.open(node / "journal", cut, NETWORK, ID)
                assert health.remembers, where
                assert records == ()
                whole += 1
    assert whole > 0


def test_free_room_is_what_the_system_says(tmp_path: Path) -> None:
    files = OsFiles()
    free = files.free_bytes(tmp_path)
    assert 0 < free < 1 << 60
