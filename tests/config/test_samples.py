"""The samples in configs/ are what the models generate, and what the program takes; the service unit fits them."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.exits import ExitCode
from daemon.config.card import CardFile
from daemon.config.files import read
from daemon.config.network import NetworkFile, load_network
from daemon.config.node import NodeFile
from daemon.config.problems import all_keys
from daemon.config.samples import FILES, SAMPLES
from daemon.config.write import to_toml

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODELS: dict[str, Any] = {"network": NetworkFile, "node": NodeFile, "card": CardFile}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_file_in_configs_is_current(kind: str) -> None:
    assert (CONFIGS / FILES[kind]).read_text() == SAMPLES[kind](), "run: python -m daemon.config.samples configs"


@pytest.mark.parametrize("kind", SAMPLES)
def test_reading_it_gives_what_wrote_it(kind: str) -> None:
    found = read(CONFIGS / FILES[kind], MODELS[kind])
    assert found.problems == ()
    assert to_toml(found.value) == SAMPLES[kind]()


@pytest.mark.parametrize("kind", SAMPLES)
def test_it_shows_every_key_with_a_comment(kind: str) -> None:
    lines = SAMPLES[kind]().splitlines()
    for key in all_keys(MODELS[kind]):
        name = key.rpartition(".")[2]
        shown = [i for i, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{name} =")]
        headers = [i for i, line in enumerate(lines) if line.strip("# []").rpartition(".")[2] == name and "[" in line]
        assert shown or headers, key
        assert lines[(shown or headers)[0] - 1].startswith("# "), key


def test_a_table_that_is_left_out_is_shown_as_what_it_is() -> None:
    lines = SAMPLES["network"]().splitlines()
    assert "# [genesis.begins]" in lines, "one table"
    assert "# [[genesis.ancestors]]" in lines, "an array of tables"


def test_the_network_is_one() -> None:
    assert len(load_network(CONFIGS / "network.toml").genesis.validators) == 4


@pytest.fixture
def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(CONFIGS / "papilio.service")
    return parser["Service"]


def test_the_unit_waits_for_the_node_and_watches_it(unit: configparser.SectionProxy) -> None:
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > 0


def test_the_unit_names_the_policy_that_its_filter_would_refuse(unit: configparser.SectionProxy) -> None:
    """daemon/scheduling.py."""
    assert "@resources" in unit["SystemCallFilter"], "of which sched_setscheduler is one"
    assert unit["CPUSchedulingPolicy"] == "batch"


def test_the_unit_does_not_restart_what_a_person_has_to_look_at(unit: configparser.SectionProxy) -> None:
    prevented = {int(code) for code in unit["RestartPreventExitStatus"].split()}
    assert prevented == {ExitCode.USAGE, ExitCode.BROKEN, ExitCode.DISK_FAILED, ExitCode.CONFIGURATION}
    assert ExitCode.IN_USE not in prevented


def test_the_unit_hands_over_the_keys_as_credentials() -> None:
    text = (CONFIGS / "papilio.service").read_text()
    for name in ("node.key", "voting.key"):
        assert f"LoadCredential={name}:/etc/papilio/keys/{name}\n" in text, "named as its file, as commands find it"
        assert f"credential:{name}" in text, "the comment says what node.toml has to say"
    assert "Environment=" not in text
