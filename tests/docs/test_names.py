"""What documents name exists: links, files, commands, options, metrics, events, codes, keys, paths, rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon.cli.exits import ExitCode
from daemon.observe.metrics import LABELLED, Metrics, node_source
from daemon.runtime.reports import ExitCode as Ending
from scripts.codes import PAGE, page
from tests.docs import names
from tests.docs.blocks import DOCUMENTS, GUIDES, ROOT, anchors, blocks, links, rows, spans

HANDBOOK = (ROOT / "daemon" / "README.md").read_text("utf-8")
each_document = pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
each_guide = pytest.mark.parametrize("file", GUIDES, ids=lambda file: str(file.relative_to(ROOT)))

TOP = ("daemon", "protocol", "configs", "tests", "scripts", ".ci")
SNAKE = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
OF_A_NODE = {
    *("data_directory", "state_root", "left_out", "final_time_ms", "valid_until_ms"),
    *("process_resident_memory_bytes", "process_open_fds"),
}
"""Snake-case names that stand in lines, answers and metrics of others."""


@each_document
def test_links_lead_somewhere(file: Path) -> None:
    text = file.read_text("utf-8")
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside the project"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{link}: no such heading"


@each_guide
def test_files_that_are_named_exist(file: Path) -> None:
    text = file.read_text("utf-8")
    commands = " ".join(block.text for block in blocks(text) if block.words[:1] == ["sh"]).split()
    for name in {*spans(text), *commands}:
        found = re.match(r"(?:\.\./)?((?:[\w.-]+/)+[\w.-]*)", name)
        if found and found[1].split("/")[0] in TOP:
            assert (ROOT / found[1]).exists(), f"{name}: no such file"


@each_document
def test_commands_and_options_that_are_named_exist(file: Path) -> None:
    text = file.read_text("utf-8")
    shells = [block.text for block in blocks(text) if block.words[:1] == ["sh"]]
    for words in [words for part in (*shells, *spans(text)) for words in names.invocations(part)]:
        assert not names.wrong_with(words), f"papilio {' '.join(words)}: {names.wrong_with(words)}"


def test_a_wrong_command_or_option_is_seen() -> None:
    assert names.wrong_with(["network", "make"]) == "network has no command 'make'"
    assert names.wrong_with(["submit", "points", "give"]) == "points has no command 'give'"
    assert "no option --verbose" in names.wrong_with(["node", "join", "node", "--verbose"])
    assert list(names.invocations("x; /opt/papilio/bin/papilio version # now")) == [["version"]]
    assert [*names.invocations("a\\\n b; papilio tx x | head")] == [["tx", "x"]]


@each_guide
def test_paths_of_the_api_that_are_named_exist(file: Path) -> None:
    text = file.read_text("utf-8")
    patterns = [re.compile(re.sub(r"\{\w+\}", r"[^/?]+", path)) for path in names.paths()]
    for found in re.findall(
        r"(?<![\w.])(?:http://127\.0\.0\.1:\d+)?(/(?:v1/[^\s`'\"?]+|docs|openapi\.json|metrics))", text
    ):
        path = re.sub(r"\$\([^)]*\)", "x", found)
        assert any(pattern.fullmatch(path) for pattern in patterns), path


@each_guide
def test_names_in_snake_case_are_names_of_something(file: Path) -> None:
    """A code, an event, a key of a file: what is misspelt here is none of them."""
    known = names.codes() | names.events() | names.keys() | names.metrics() | OF_A_NODE
    known |= {f"accounts.{name}" for name in ("set_keys",)}
    for span in spans(file.read_text("utf-8")):
        if SNAKE.fullmatch(span):
            assert span in known, f"`{span}` is nothing that the program has"


@each_guide
def test_environment_variables_that_are_named_exist(file: Path) -> None:
    source = "".join(path.read_text("utf-8") for room in ("daemon", "scripts") for path in (ROOT / room).rglob("*.py"))
    for name in re.findall(r"PAPILIO_[A-Z]+", file.read_text("utf-8")):
        assert name in source


# -- The handbook's tables ----------------------------------------------------------------------------


def test_the_handbooks_contents_name_every_section() -> None:
    contents = HANDBOOK.partition("Contents:")[2].partition("\n\n")[0]
    sections = re.findall(r"^## (.+)$", HANDBOOK, re.MULTILINE)
    assert re.findall(r"\[([^]]+)\]", contents) == sections


def test_every_event_of_the_log_stands_in_the_handbook() -> None:
    told = {name for row in rows(HANDBOOK, "## Logs") for name in re.findall(r"`(\w+)`", row[0])}
    assert told == names.events()


def test_every_metric_stands_in_the_handbook() -> None:
    table = {name for row in rows(HANDBOOK, "## Metrics") for name in re.findall(r"`(\w+)`", row[0])}
    assert table == names.metrics() | {f"papilio_{name}_total" for name, _, _ in LABELLED.values()}


def test_alerts_are_made_of_metrics() -> None:
    known = names.metrics() | {f"papilio_{name}_total" for name, _, _ in LABELLED.values()}
    for row in rows(HANDBOOK, "### Alerts"):
        used = set(re.findall(r"papilio_\w+", row[1]))
        assert used <= known
        assert used or "up == 0" in row[1]
        for label in re.findall(r'note="(\w+)"', row[1]):
            assert label in names.events()
        for label in re.findall(r'code="(\w+)"', row[1]):
            assert label in names.codes()


def test_what_an_alert_watches_grow_is_there_before_it_happens() -> None:
    """Prometheus sees no increase in a series that begins at 1."""
    scraped = Metrics([node_source(lambda: ({}, {}))]).text().decode()
    for row in rows(HANDBOOK, "### Alerts"):
        for metric in re.findall(r"increase\((\w+(?:{[^}]*})?)", row[1]):
            assert re.search(rf"^{re.escape(metric)}\S* 0\.0$", scraped, re.MULTILINE), metric


def test_every_exit_code_stands_in_the_handbook() -> None:
    told = [int(row[0]) for row in rows(HANDBOOK, "## Exit codes")]
    assert told == [int(code) for code in ExitCode]
    assert set(Ending) <= set(told)


def test_codes_of_lost_peers_are_codes() -> None:
    told = {name for row in rows(HANDBOOK, "## A peer is gone") for name in re.findall(r"`(\w+)`", row[0])}
    assert "connection_lost" in told
    assert told <= names.codes()


# -- Pages that are written by the program, and decisions -----------------------------------------------


def test_the_page_of_codes_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m scripts.codes"


DECISIONS = sorted(ROOT.glob("*/**/decisions/[0-9]*.md"), key=lambda file: file.name)


def test_decisions_are_one_series_and_listed() -> None:
    numbers = [int(file.name[:4]) for file in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1)), "each number once, none left out"
    index = ROOT / "protocol" / "decisions" / "README.md"
    listed = [(index.parent / link).resolve() for link in links(index.read_text("utf-8"))]
    assert listed == DECISIONS


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.name)
def test_a_decision_says_context_choice_and_more(file: Path) -> None:
    """Why not the others, or what it costs, as it fits."""
    heads = anchors(file.read_text("utf-8"))
    assert {"context", "choice"} < heads
    first = file.read_text("utf-8").splitlines()[0]
    assert first.startswith(f"# {file.name[:4]}: ")


@each_document
def test_rules_that_are_cited_exist(file: Path) -> None:
    last = {"C": 24, "L": 31}
    for kind, number in re.findall(r"\b([CL])-(\d+)\b", file.read_text("utf-8")):
        assert 1 <= int(number) <= last[kind], f"{kind}-{number}"
