"""`papilio backup` and `papilio restore`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from daemon.cli.output import emit, json_option, say, wants_json

KEYS_WORDS = """The backup holds the secret keys of this node. Whoever has it can vote as this validator: keep it as you
keep the keys, and never start a second node with it while this one may still run (C-24)."""


@click.command()
@click.argument("place", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--keys", "with_keys", is_flag=True, help="With node key and voting key. Read the words about it.")
@json_option
def backup(place: Path, target: Path, with_keys: bool) -> None:
    """Copy a node to TARGET (new or empty), also while it runs: blocks, settings, card and network file.

    Never the journal, nor its id: a validator that is put back to an older memory may sign the opposite of what it
    signed since. The state is made of the blocks again. Every block of the copy is read back. Exit code 78: something
    has to be put right, as the words say; then there is no backup.json in TARGET, and it is no backup.

    \b
    Examples:
        papilio backup node /backups/monday
        papilio backup /etc/papilio/node.toml /backups/monday --json
    """
    from daemon.backup.taking import take
    from daemon.cli.run import file_of
    from daemon.config.node import load_node

    manifest = take(load_node(file_of(place)), target, with_keys=with_keys, progress=_progress())
    if with_keys:
        say(KEYS_WORDS)
    facts = {"target": str(target), "height": manifest.height, "files": len(manifest.files), "keys": manifest.keys}
    emit(facts, lambda: print(f"{target}: blocks up to height {manifest.height}, {len(manifest.files)} files"))


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="BACKUP")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    help="A directory with node.key and voting.key, where the backup was taken without keys.",
)
@json_option
def restore(source: Path, directory: Path, keys: Path | None) -> None:
    """Make the node of BACKUP again, in DIRECTORY (new or empty). Make sure first that the old one never runs again.

    Its validator begins without a memory of what it signed: it follows at once, fetches the blocks made since, and
    votes when a quorum of the others has answered what it may have signed. See 'Amnesia' in the handbook.

    \b
    Examples:
        papilio restore /backups/monday node --keys /safe/keys
        papilio run node
    """
    from daemon.backup.restoring import restore as restore_node

    node, manifest = restore_node(source, directory, keys=keys, progress=_progress())
    facts = {"directory": str(directory), "height": manifest.height, "member": node.member, "memory": "amnesiac"}
    emit(facts, lambda: print(f"{directory}: {node.member}, blocks up to height {manifest.height}"))
    if node.is_validator:
        say("It has no memory of what it signed: it follows at once, and votes when a quorum of the others answered.")
    say(f"Make sure that the old node never runs again. Then: papilio run {directory}")


def _progress() -> Callable[[str, int, int], None]:
    """Progress on a terminal, each hundredth; nothing elsewhere."""
    if wants_json() or not sys.stderr.isatty():
        return lambda _what, _done, _total: None
    shown = {"": -1}

    def show(what: str, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if shown.get(what) != percent:
            shown[what] = percent
            print(f"\r{what} {percent:3} %", end="\n" if percent == 100 else "", file=sys.stderr, flush=True)

    return show
