"""`papilio run`: a node, in the foreground, until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from protocol.errors import OperatorFault

if TYPE_CHECKING:
    from daemon.config.node import Node
    from daemon.runtime.edges import Edge


@click.command()
@click.argument("place", required=False, type=click.Path(path_type=Path), metavar="[DIRECTORY|FILE]")
@click.option("--config", type=click.Path(path_type=Path), help="The node's node.toml, instead of a directory.")
def run(place: Path | None, config: Path | None) -> int:
    """Run the node of DIRECTORY (or of a node.toml) until SIGTERM or Ctrl-C; a second one ends it at once.

    The log goes to standard error. Under systemd use Type=notify: it is called ready once it has recovered and listens.

    \b
    Examples:
        papilio run node
        papilio run --config /etc/papilio/node.toml
    """
    if (place is None) == (config is None):
        raise click.UsageError("say which node: its directory, or --config with its node.toml")
    from daemon.runtime.workers.spare import spare_workers

    with spare_workers():  # before anything else is even imported
        return _run(config or place or Path())


def _run(place: Path) -> int:
    from daemon.observe.lean import import_structlog_alone

    import_structlog_alone()
    from daemon.config.node import load_node
    from daemon.runtime.main import run_node

    node = load_node(file_of(place))
    return run_node(node, edges_of(node))


def file_of(place: Path) -> Path:
    """The node.toml that `place`, a directory or the file itself, means. Raises OperatorFault."""
    from daemon.config.creation import NODE_FILE

    file = place / NODE_FILE if place.is_dir() else place
    if not file.is_file():
        raise OperatorFault(
            f"there is no {file}: give the directory of a node (papilio node create), or its {NODE_FILE}"
        )
    return file


def edges_of(node: Node) -> Sequence[Edge]:
    """What serves clients of this node. Raises OperatorFault if it may open too few files."""
    from daemon.api.edge import ApiConfig, ApiEdge
    from daemon.runtime.descriptors import room_for

    api = node.settings.api
    config = ApiConfig(
        host=api.listen.host,
        port=api.listen.port,
        connections_max=room_for(node).api_connections,
        cors_origins=api.cors_origins,
    )
    return (ApiEdge(config),)
