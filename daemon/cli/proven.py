"""What commands share that check a file which proves something, by itself and network.toml alone: no node is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from daemon.cli.exits import Ended, ExitCode
from protocol.errors import OperatorFault
from protocol.limits import PROOF_BYTES_MAX

if TYPE_CHECKING:
    from protocol.ledger.genesis import Genesis

T = TypeVar("T")

network_option: Final = click.option(
    "--network",
    type=click.Path(path_type=Path),
    default=Path("network.toml"),
    show_default=True,
    help="The network's file: all that is believed.",
)


def read_proof(file: Path) -> bytes:
    """The file's bytes, no more than a proof may have and one. Raises OperatorFault."""
    try:
        with file.open("rb") as stream:
            return stream.read(PROOF_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorFault(f"{file} cannot be read: {str(error.strerror).lower()}") from error


def proven(file: Path, network: Path, verify: Callable[[Genesis, bytes], T]) -> T:
    """What the file proves, by `verify`. Raises Ended(UNVERIFIED), ConfigurationFault, OperatorFault."""
    from daemon.client.proving import load_genesis
    from protocol.proofs.finality import ProofRefused

    genesis = load_genesis(network)
    try:
        return verify(genesis, read_proof(file))
    except ProofRefused as refused:
        words = f"NOT PROVEN: {file} does not verify. {refused.code}: {refused.words}"
        raise Ended(words, code=refused.code, exit_code=ExitCode.UNVERIFIED, verified=False) from refused
