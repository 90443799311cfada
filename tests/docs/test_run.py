"""What the documents tell a reader to run works, and says what they show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import DOCUMENTS, ROOT, Block, blocks
from tests.docs.terminal import Terminal

WITH_RUNS = [file for file in DOCUMENTS if any("run" in block.words[1:] for block in blocks(file.read_text("utf-8")))]


@pytest.mark.parametrize("file", WITH_RUNS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_document_runs(file: Path, tmp_path: Path) -> None:
    ran = 0
    with Terminal(tmp_path) as terminal:
        for block in blocks(file.read_text("utf-8")):
            if "run" in block.words[1:]:
                if "curl " in block.text and shutil.which("curl") is None:
                    pytest.skip(f"line {block.line}: there is no curl here; the {ran} blocks above it ran")
                terminal.run(block)
                ran += 1
            elif block.words == ["text", "output"]:
                terminal.compare(block)
    assert ran


def test_the_guides_are_among_them() -> None:
    assert {ROOT / "README.md", ROOT / "daemon" / "README.md"} <= set(WITH_RUNS)


def test_a_failing_block_fails(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal, pytest.raises(AssertionError, match="exit code 1"):
        terminal.run(Block("sh run", "false\necho went on\n", 1))


def test_other_output_fails(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        terminal.run(Block("sh run", "printf 'one 1\\ntwo 2\\n'\n", 1))
        said = terminal.said
        terminal.compare(Block("text output", "one …\ntwo 2\n", 2))
        terminal.said = said
        with pytest.raises(AssertionError, match="'one …' does not follow"):
            terminal.compare(Block("text output", "two 2\none …\n", 2))


def test_a_background_block_that_ends_early_fails(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal, pytest.raises(AssertionError, match="never said 'ready'"):
        terminal.run(Block('sh run background until="ready"', "echo no\n", 1))


def test_ports_are_replaced_alike(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        one, two = terminal.ported("--port 8100 http://127.0.0.1:8100/").split(" http://127.0.0.1:")
        assert one.removeprefix("--port ") == two.removesuffix("/") != "8100"
