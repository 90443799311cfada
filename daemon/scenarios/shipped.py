"""Where scenarios are: those that come with the program by name, all others by their path.

The shipped ones stand in configs/scenarios of the checkout; the wheel carries them beside this file (pyproject.toml).
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path as File

from daemon.config.files import Read, read
from daemon.config.problems import ConfigurationFault, Problem
from daemon.scenarios.meaning import read_scenario, scenario_of
from daemon.scenarios.tables import ScenarioFile
from protocol.sim.scenarios import Scenario

_INSTALLED = File(__file__).parent / "files"
_CHECKOUT = File(__file__).resolve().parents[2] / "configs" / "scenarios"


def directory() -> File:
    """Where the shipped ones are."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


@cache
def names() -> tuple[str, ...]:
    """Of the shipped ones, in order."""
    return tuple(sorted(file.stem for file in directory().glob("*.toml")))


def read_file(name_or_file: str) -> tuple[str, Read[ScenarioFile]]:
    """Name and content. Raises ConfigurationFault; a name that is not known gets the nearest one."""
    file = File(name_or_file)
    if name_or_file in names():
        return name_or_file, read(directory() / f"{name_or_file}.toml", ScenarioFile)
    if file.suffix == ".toml" or file.exists():
        return file.stem, read(file, ScenarioFile)
    nearest = difflib.get_close_matches(name_or_file, names(), n=1)
    words = "the name of a scenario (papilio sim list) or a TOML file"
    raise ConfigurationFault([Problem(name_or_file, 0, 0, "", words, "neither", *nearest)])


def load(name_or_file: str) -> Scenario:
    """The scenario of this name or file. Raises ConfigurationFault with every problem."""
    name, found = read_file(name_or_file)
    return scenario_of(found, name) if name_or_file in names() else read_scenario(File(name_or_file), found)


@cache
def scenarios() -> dict[str, Scenario]:
    """All shipped ones by name."""
    return {name: load(name) for name in names()}
