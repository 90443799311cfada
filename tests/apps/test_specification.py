"""The specification names what the program has: operations with kinds and refusals, spaces with kinds, limits."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.apps import registry
from protocol.codec import KINDS

KINDS_OF_OPERATION = {
    kind.arguments: (name, kind)
    for name, application in registry.RULES[registry.NEWEST_RULES].applications.items()
    for kind in application.operations.values()
}

TEXT = (Path(registry.__file__).parent / "SPECIFICATION.md").read_text()
CELLS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| `")]
OPERATIONS = {cells[0].strip("`"): cells for cells in CELLS if cells[1].isdecimal()}
"""A name may be an operation's and a space's; a kind in the second column is an operation's."""


def test_every_operation_stands_there_with_its_kind_and_refusals() -> None:
    assert set(OPERATIONS) == {f"{app}.{kind.name}" for app, kind in KINDS_OF_OPERATION.values()}
    for cls, (app, kind) in KINDS_OF_OPERATION.items():
        row = OPERATIONS[f"{app}.{kind.name}"]
        assert KINDS[int(row[1])] is cls
        assert set(re.findall(r"`(\w+)`", row[-1])) == set(kind.refusals), kind.name


def test_every_space_stands_there_with_its_kind() -> None:
    for application in registry.APPLICATIONS[registry.NEWEST_RULES]:
        for space in application.spaces:
            kind = next(number for number, cls in KINDS.items() if cls is space.record)
            if space.name == "accounts.account":
                assert f"`{space.name}`: account → kind {kind}" in TEXT
                continue
            name = f"`{space.name}`, added" if space.added else f"`{space.name}`"
            (row,) = [cells for cells in CELLS if cells[0] == name and cells[2].startswith(f"{kind}: ")]
            assert space.also is None or f"`{space.also.name}`" in TEXT
            assert [part.name for part in space.parts] == [name for name in row[1].split(", ") if name != "none"]


def test_results_stand_there() -> None:
    for cls, (_, kind) in KINDS_OF_OPERATION.items():
        if kind.result is not None:
            number = next(number for number, found in KINDS.items() if found is kind.result)
            assert f"`{kind.name}` {number} (" in TEXT, cls


def test_every_rule_that_code_or_tests_cite_stands_there() -> None:
    written = set(re.findall(r"^- ([EPM]-\d+) ", TEXT, re.MULTILINE))
    files = [*Path(registry.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    cited = {rule for file in files for rule in re.findall(r"\b[EPM]-\d+\b", file.read_text())}
    assert cited == written
