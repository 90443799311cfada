"""Random injuries to a node's files (L-24 to L-26): each is found and told, or proven to have changed nothing; what
can be repaired is repaired to the same content, and what cannot is said.

`--long` does a thousand and more, and prints how many of each kind ended how.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from daemon.store.files import OsFiles
from daemon.store.journal import Journal
from daemon.store.journal_file import HEADER_BYTES
from daemon.store.segment_file import SEGMENT_HEADER_BYTES
from daemon.store.tables import StateStore
from daemon.upkeep.check import Subject, check_directory
from daemon.upkeep.findings import Report
from daemon.upkeep.repair import Repaired, repair_directory
from protocol.ledger.tables import Table
from tests.upkeep.made import ABOVE, BLOCKS, JOURNAL_ID, Given, chain, held

SHORT = 16
PARTS, LONG = 12, 100
"""A thousand and more in parts: each ends well within the time that any test has."""
SYNCED = BLOCKS - ABOVE

Injury = Callable[[Random, Path, Path], str]


def flip(random: Random, directory: Path, path: Path) -> str:
    at = random.randrange(used(path))
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    return f"a flipped bit at {at}"


def smear(random: Random, directory: Path, path: Path) -> str:
    at = random.randrange(used(path))
    count = random.choice((1, 16, 512, 4096))
    content = path.read_bytes()
    junk = bytes(count) if random.random() < 0.5 else random.randbytes(count)
    path.write_bytes(content[:at] + junk[: len(content) - at] + content[at + count :])
    return f"{count} bytes overwritten at {at}"


def cut(random: Random, directory: Path, path: Path) -> str:
    length = random.randrange(used(path))
    with path.open("rb+") as file:
        file.truncate(length)
    return f"cut to {length} bytes"


def remove(random: Random, directory: Path, path: Path) -> str:
    path.unlink()
    return "removed"


def swap(random: Random, directory: Path, path: Path) -> str:
    others = [other for other in targets(directory) if other.suffix == path.suffix and other != path]
    other = random.choice(others or [one for one in targets(directory) if one != path])
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)
    return f"swapped with {other.name}"


def append(random: Random, directory: Path, path: Path) -> str:
    junk = random.randbytes(random.choice((1, 100, 5000)))
    path.write_bytes(path.read_bytes() + junk)
    return f"{len(junk)} bytes appended"


INJURIES: tuple[Injury, ...] = (flip, flip, smear, cut, remove, swap, append)


def used(path: Path) -> int:
    """Bytes that may be hit: of a journal not the reserved room, in which nothing stands."""
    return len(path.read_bytes().rstrip(b"\0")) if path.suffix == ".log" else path.stat().st_size


def targets(directory: Path) -> list[Path]:
    names = ("format.json", "segments/*.seg", "segments/*.idx", "journal/*.log", "state/data.mdb")
    return sorted(path for name in names for path in directory.glob(name))


def content(subject: Subject) -> dict[str, list[tuple[bytes, bytes]]] | None:
    """All rows of the state, read with LMDB and not by what is tested; None if there is no state of all blocks."""
    store = StateStore.open(subject.directory / "state", chain().network_id, writer=False, alone=True)
    try:
        with store.reader() as reader:
            if reader.height != BLOCKS:
                return None
            return {table.value: reader.scan(table, b"", limit=100_000) for table in Table}
    finally:
        store.close()


def expected() -> dict[str, list[tuple[bytes, bytes]]]:
    tables = chain().world.tables
    return {table.value: list(tables.scan(table, b"", limit=100_000)) for table in Table}


def promised_end(path: Path) -> int:
    """Where the last frame begins: all before it was named as synced by it."""
    from daemon.store.framing import scan
    from daemon.store.journal_file import Header

    file = OsFiles().open(path, writable=False)
    header = Header.decode(file.read_at(0, HEADER_BYTES))
    assert header is not None
    end = scan(file, header.seal(), HEADER_BYTES, keep_bodies=False).frames[-1].offset
    file.close()
    return end


def tried(subject: Subject, random: Random, baseline: set[str]) -> tuple[str, str]:
    """Injure, check, repair, check; the kind of injury and how it ended."""
    directory = subject.directory
    path = random.choice(targets(directory))
    injury = random.choice(INJURIES)
    before = path.read_bytes()
    end = promised_end(path) if path.suffix == ".log" else 0
    words = f"{path.relative_to(directory)}: {injury(random, directory, path)}"
    kind = f"{injury.__name__} {path.suffix}"
    if path.exists() and path.read_bytes() == before:
        return kind, "changed no byte"
    report = check_directory(subject)
    if not report.damage and path.suffix == ".seg" and len(before) == SEGMENT_HEADER_BYTES:
        assert held(directory, SYNCED) == {h: chain().blocks[h] for h in range(1, SYNCED + 1)}, words
        return kind, "held no block"
    if not report.damage:
        return kind, harmless(subject, path, report, baseline, before[:end], words)
    concerned = {finding.file for finding in report.damage}
    assert any(path.name in file or file == path.parent.name for file in concerned), f"{words}: {concerned}"
    done = repair_directory(subject, [Given(chain().blocks)])
    left = [str(finding) for finding in done.after.damage]
    assert done.is_whole, f"{words}: {left}"
    check_blocks(directory, done.after, words, moved_from(done))
    if done.is_amnesiac:
        assert ".log" in words, words
        _, _, health = Journal.open(directory / "journal", OsFiles(), chain().network_id, JOURNAL_ID)
        assert not health.remembers, f"{words}: a journal that lost what was promised is believed"
        return kind, "refused: amnesiac"
    assert not check_directory(subject).damage, words
    assert any((directory / "quarantine").iterdir()) if done.kept else injury in (remove, append, cut), words
    return kind, "repaired"


def moved_from(done: Repaired) -> int | None:
    """Of a last segment that told nothing: where it began, if the repair says that the node fetches it anew.

    Where the state is lost with it, in one injury, nothing here knows what it held.
    """
    said = [words for words in done.done if "was moved away" in words and "the node fetches them anew" in words]
    return int(said[0].partition(".seg")[0]) if said else None


def check_blocks(directory: Path, report: Report, words: str, moved: int | None = None) -> None:
    """Each block is served as it was, or said to be in the journal, from where the next start appends it, or told."""
    in_journal = {
        h for finding in report.findings if "only the journal holds" in finding.words for h in finding.heights
    }
    for height, data in held(directory, SYNCED).items():
        told = height in in_journal or (moved is not None and height >= moved)
        assert data == chain().blocks[height] or (data is None and told), f"{words}: block {height}"


def harmless(subject: Subject, path: Path, report: Report, baseline: set[str], promised: bytes, words: str) -> str:
    """What the check calls no damage has to be none: each block is served, or said to be in the journal."""
    check_blocks(subject.directory, report, words)
    if path.suffix == ".log":
        assert path.read_bytes()[: len(promised)] == promised, f"{words}: what was promised has changed"
        return "a torn tail, never promised"
    if path.name == "data.mdb":
        # With the newer root record lost it is one commit older, and whole.
        assert report.state_height in (BLOCKS, BLOCKS - 5), words
        assert report.state_height != BLOCKS or content(subject) == expected(), words
        return "in no page that is used"
    new = {str(finding) for finding in report.findings} - baseline
    assert new, f"{words}: not found"
    return "told, and not damage"


@pytest.fixture(name="ends", scope="module")
def fixture_ends() -> Counter[tuple[str, str]]:
    """How many of each kind ended how, in all parts together."""
    return Counter()


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, PARTS))])
def test_each_injury_is_found_and_repaired_or_refused(
    part: int, ends: Counter[tuple[str, str]], pattern: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    whole = check_directory(Subject(pattern, chain().genesis, JOURNAL_ID))
    assert not whole.damage
    assert whole.state_compared.startswith("byte for byte")
    baseline = {str(finding) for finding in whole.findings}
    count = LONG if pytestconfig.getoption("--long") else SHORT
    for number in range(part * LONG, part * LONG + count):
        place = tmp_path / "data"
        shutil.copytree(pattern, place)
        ends[tried(Subject(place, chain().genesis, JOURNAL_ID), Random(number), baseline)] += 1
        shutil.rmtree(place)
    total = Counter[str]()
    for (kind, end), times in sorted(ends.items()):
        sys.stdout.write(f"{kind:<14} {end:<30} {times}\n")
        total[end] += times
    sys.stdout.write(f"{sum(total.values())}: {dict(total)}\n")
    assert total["repaired"] > sum(total.values()) // 3
