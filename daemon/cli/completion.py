"""`papilio completion`: click's completion scripts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Example, in ~/.bashrc:
        eval "$(papilio completion bash)"
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    root = context.find_root().command
    click.echo(found(root, {}, "papilio", "_PAPILIO_COMPLETE").source())
