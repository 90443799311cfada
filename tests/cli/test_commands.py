"""What holds for every command: help with an example, exit codes, errors in words, quick start."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import daemon
from daemon import cli
from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import json_option
from daemon.runtime import reports
from protocol.errors import BrokenInvariant, OperatorFault, Refused
from protocol.wire.channel import VERSION_HIGH, VERSION_LOW
from tests.cli.calling import Call

ROOT = Path(__file__).resolve().parents[2]


def every_command() -> Iterator[tuple[str, ...]]:
    context = click.Context(cli.papilio)
    for name in cli.COMMANDS:
        command = cli.papilio.get_command(context, name)
        assert command is not None
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.list_commands(context))


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_help_has_an_example_that_exists(call: Call, path: tuple[str, ...]) -> None:
    said = call(*path, "--help")
    assert said.code == 0
    _, found, example = said.out.partition("Example")
    assert found
    assert f"papilio {' '.join(path)}" in example


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_an_unknown_option_is_a_usage_error(call: Call, path: tuple[str, ...]) -> None:
    said = call(*path, "--no-such-option")
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert "--no-such-option" in said.err


def test_help_names_every_command_and_exit_code(call: Call) -> None:
    said = call("--help")
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in said.out
        assert entry.words in " ".join(said.out.split())
    for code in ExitCode:
        assert f"  {int(code)} " in said.out


def test_help_words_are_short_sentences() -> None:
    for entry in cli.COMMANDS.values():
        assert entry.words.endswith(".")
        assert len(entry.words) <= 70


def test_an_unknown_command(call: Call) -> None:
    said = call("rnu")
    assert said.code == ExitCode.USAGE
    assert "No such command 'rnu'" in said.err


def test_exit_codes_agree_with_those_of_a_running_node() -> None:
    """One number means one thing, whichever of the two tables a person looks at."""
    meanings = {"STOPPED": "DONE", "OPERATOR": "CONFIGURATION", "AT_ONCE": "INTERRUPTED"}
    for code in reports.ExitCode:
        assert int(ExitCode[meanings.get(code.name, code.name)]) == int(code)


@pytest.mark.parametrize(
    "fault, code, name",
    [
        (Ended("no", code="unreachable", exit_code=ExitCode.UNREACHABLE), 4, "unreachable"),
        (OperatorFault("no"), 78, "operator_fault"),
        (Refused("expired", "no"), 1, "expired"),
        (BrokenInvariant("no"), 70, "broken_invariant"),
        (ZeroDivisionError("no"), 70, "broken_invariant"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_end_has_its_code_and_words(
    call: Call, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, name: str
) -> None:
    @click.command()
    @json_option
    def bad() -> None:
        raise fault

    monkeypatch.setattr(cli, "_planted", bad, raising=False)
    monkeypatch.setitem(cli.COMMANDS, "bad", cli.Entry("daemon.cli:_planted", "Fail."))
    said = call("bad")
    assert (said.code, said.out) == (code, "")
    assert said.err.rstrip().splitlines()[-1].startswith("papilio: ")
    assert ("Traceback" in said.err) == (code == ExitCode.BROKEN), "a trace for our faults alone"
    said = call("bad", "--json")
    assert said.code == code
    assert said.json["error"]["code"] == name
    assert said.json["error"]["words"]


def test_the_version_is_that_of_the_project(call: Call) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == daemon.VERSION
    said = call("version", "--json")
    assert said.json["papilio"] == daemon.VERSION
    assert said.json["protocol"]["rules"] >= 1
    assert (said.json["protocol"]["channel_lowest"], said.json["protocol"]["channel"]) == (VERSION_LOW, VERSION_HIGH)
    assert None not in said.json["libraries"].values()
    dependencies = {d.replace(">", "=").split("=")[0] for d in project["dependencies"]}
    assert set(said.json["libraries"]) == dependencies, "each dependency is shown"
    assert f"papilio {daemon.VERSION}" in call("version").out


def test_version_and_help_load_little() -> None:
    """A quick command stays quick: neither models nor event loop nor HTTP are imported for it."""
    code = (
        "import sys; from daemon.cli import main\n"
        "for a in (['version'], ['--help'], ['nonsense']): main(a)\n"
        "print(sorted({'pydantic', 'trio', 'httpx', 'rich', 'structlog', 'lmdb', 'nacl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['nacl']" or done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(call: Call, shell: str) -> None:
    said = call("completion", shell)
    assert said.code == 0
    assert "_PAPILIO_COMPLETE" in said.out


def test_completion_completes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PAPILIO_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "papilio con")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        cli.main([])
    assert "plain,config" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_fault_of_ours() -> None:
    command = [
        sys.executable,
        "-c",
        "from daemon.cli import main; import sys; sys.exit(main(['config', 'sample', 'network']))",
    ]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(command, cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
