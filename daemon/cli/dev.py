"""`papilio dev`: a network of one in the foreground, for who develops an application on it."""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import emit, json_option, say
from daemon.config.texts import ACCOUNT, NETWORK_ID

if TYPE_CHECKING:
    from daemon.client.local import LocalNetwork

PORT: Final = 8100
LOG_NAME: Final = "node.log"


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    help=f"Port of the API of a new network. [default: {PORT}, or any free one]",
)
@json_option
def dev(directory: Path | None, port: int | None) -> int:
    """Run a network of one until Ctrl-C: a real node with its own disk, API and proofs, for developing applications.

    In DIRECTORY, which is made, or gone on with; without one in a temporary directory that is removed at the end.
    With --json one JSON value is printed once it is ready, with the endpoint and where the key of a member's account
    is.

    \b
    Example:
        papilio dev ledger
    """
    from daemon.client.local import local_network

    try:
        with _terminated_as_interrupted(), _place(directory) as place:
            say("starting…")
            with local_network(place, api_port=port or _port()) as network:
                emit(_facts(network), lambda: _lines(network))
                sys.stdout.flush()
                ended = network.process.wait()
    except KeyboardInterrupt:
        return ExitCode.DONE
    say(f"the node ended by itself with exit code {ended}; its log is {network.directory / LOG_NAME}")
    return ended or ExitCode.FAILED


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: the node first."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    """The directory, or a temporary one that is removed at the end."""
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="papilio-dev-") as temporary:
        yield Path(temporary) / "network"


def _port() -> int:
    """8100 if it is free, else any."""
    from daemon.client.local import free_port

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return free_port()
    return PORT


def _facts(network: LocalNetwork) -> dict[str, Any]:
    return {
        "endpoint": network.endpoint,
        "network_id": network.network_id.hex(),
        "network_file": str(network.network_file),
        "account": network.account.name.hex(),
        "key_file": str(network.key_file),
        "directory": str(network.directory),
        "process_id": network.process.pid,
    }


def _lines(network: LocalNetwork) -> None:
    url, key, genesis = network.endpoint, network.key_file, network.network_file
    print(f"""\
A network of one is running: one validator, so nothing is tolerated; for developing only.

  API       {url}   (documentation: {url}/docs)
  network   {NETWORK_ID.format(network.network_id)}
            {genesis}
  member    {ACCOUNT.format(network.account.name)}
            {key}
  log       {network.directory / LOG_NAME}

Try, in another terminal:

  curl -s {url}/v1/node
  curl -s {url}/v1/apps
  curl -sN {url}/v1/events
  echo hello > hello.txt
  papilio submit evidence record --digest-of hello.txt --key {key} --node {url}
  papilio events --from-start --node {url}

Ctrl-C ends it.""")
