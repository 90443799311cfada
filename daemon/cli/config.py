"""`papilio config`: whether files are right, what they come to, and what they can say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import emit, json_option, table
from daemon.config.inspection import check_file, effective
from daemon.config.samples import SAMPLES


@click.group()
def config() -> None:
    """Check, show and explain configuration files.

    \b
    Example:
        papilio config check demo/bank/node.toml
        papilio config sample node
    """


@config.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def check(files: tuple[Path, ...]) -> int:
    """Check FILES: network.toml, node.toml (with the network and keys it names), member.toml, key files.

    Every problem of every file is shown at once, with file, line, column and key. Exit code 78 if there is one.

    \b
    Example:
        papilio config check network.toml bank/node.toml
    """
    results = [check_file(file) for file in files]
    shown = [
        {"file": str(r.file), "kind": r.kind, "words": r.words, "problems": [asdict(p) for p in r.problems]}
        for r in results
    ]

    def lines() -> None:
        for result in results:
            for problem in result.problems:
                print(problem)
            if not result.problems:
                print(f"{result.file}: {result.words}")

    emit({"files": shown}, lines)
    return ExitCode.CONFIGURATION if any(result.problems for result in results) else ExitCode.DONE


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path) -> None:
    """Show every effective value of FILE (network.toml, node.toml, member.toml), and whether it is the default.

    \b
    Example:
        papilio config show bank/node.toml
    """
    values = effective(file)
    facts = [{"key": v.key, "value": v.value, "line": v.line, "default": v.line is None} for v in values]
    rows = [[v.key, v.text, "default" if v.line is None else f"line {v.line}"] for v in values]
    emit(facts, lambda: table(("key", "value", "from"), rows))


@config.command()
@click.argument("kind", type=click.Choice(sorted(SAMPLES)))
def sample(kind: str) -> None:
    """Print a commented sample of a file of this KIND.

    \b
    Example:
        papilio config sample node
    """
    click.echo(SAMPLES[kind](), nl=False)
