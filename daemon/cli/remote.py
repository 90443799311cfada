"""What commands share that ask a node: which one, and how a failure to reach it or its refusal ends a command.

The node: `--node URL` (several may be given), else `PAPILIO_NODE` (several with commas between), else the API of the
node.toml in the current directory, else http://127.0.0.1:8100.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.config.texts import ACCOUNT, TRANSACTION_ID, Form

if TYPE_CHECKING:
    from daemon.client import Client, ClientError
    from daemon.client.views import Outcome, Receipt

F = TypeVar("F", bound=Callable[..., Any])

NODE_VARIABLE: Final = "PAPILIO_NODE"
DEFAULT_NODE: Final = "http://127.0.0.1:8100"
PATIENCE_SECONDS: Final = 5.0
"""A person waits so long for a node that does not answer; `--timeout` changes it."""
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


def node_options(command: F) -> F:
    """The options `--node` and `--timeout`."""
    command = click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(0, 86_400, min_open=True),
        default=PATIENCE_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to try to get an answer.",
    )(command)
    return click.option(
        "--node",
        "nodes",
        multiple=True,
        metavar="URL",
        help=f"A node's API; may be given several times. [default: ${NODE_VARIABLE}, ./node.toml, {DEFAULT_NODE}]",
    )(command)


def endpoints(nodes: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes to ask. Raises ConfigurationFault for a node.toml that cannot be read."""
    if nodes:
        return tuple(dict.fromkeys(nodes))
    named = [part.strip() for part in os.environ.get(NODE_VARIABLE, "").split(",") if part.strip()]
    if named:
        return tuple(dict.fromkeys(named))
    file = Path("node.toml")
    return (_endpoint_in(file),) if file.is_file() else (DEFAULT_NODE,)


def _endpoint_in(file: Path) -> str:
    from daemon.config.files import read
    from daemon.config.node import NodeFile

    listen = read(file, NodeFile).value.api.listen
    host = ANY_ADDRESS.get(listen.host, listen.host)
    return f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"


@contextmanager
def client_of(nodes: tuple[str, ...]) -> Iterator[Client]:
    """A client of these nodes; what it raises ends the command with words, a code and an exit code."""
    from daemon.client import Client, ClientError

    try:
        client = Client(*endpoints(nodes))
    except ValueError as fault:
        raise click.UsageError(str(fault)) from fault
    try:
        with client:
            yield client
    except ClientError as fault:
        raise ended(fault) from fault


def ended(fault: ClientError) -> Ended:
    """How a failure of the client ends a command."""
    from daemon.client import NodeRefused, OutcomeUnknown, TransactionError, TransactionFailed, Unreachable

    if isinstance(fault, Unreachable):
        words = "\n".join([NO_ANSWER, *(f"  {url}: {what}" for url, what in fault.attempts.items()), ADVICE])
        return Ended(words, code=fault.code, exit_code=ExitCode.UNREACHABLE, attempts=fault.attempts)
    facts: dict[str, Any] = {"retry": fault.retry.value}
    words, exit_code = f"{fault.code}: {fault.words}", ExitCode.FAILED
    if isinstance(fault, NodeRefused):
        facts["endpoint"] = fault.endpoint
    if isinstance(fault, TransactionError):
        transaction = facts["transaction"] = fault.transaction.hex()
        words += f"\ntransaction {transaction}"
        if isinstance(fault, TransactionFailed):
            facts["receipt"] = receipt_json(fault.receipt)
        if isinstance(fault, OutcomeUnknown):
            facts["envelope"] = fault.sealed.data.hex()
            words, exit_code = f"{fault.words}\nAsk again: papilio tx {transaction}", ExitCode.UNKNOWN
    return Ended(words, code=fault.code, exit_code=exit_code, **facts)


NO_ANSWER: Final = "no node answered:"
ADVICE: Final = (
    f"Start one with 'papilio dev' or 'papilio run', or say where one is, with --node URL or in {NODE_VARIABLE}."
)


class HexType(click.ParamType[bytes]):
    """32 bytes in hex, with or without the word in front that says what they are."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.name = form.prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """The bytes, or a usage error that says what is expected."""
        if isinstance(value, bytes):
            return value
        text = value if ":" in value else f"{self.form.prefix}:{value}"
        try:
            return self.form.parse(text)
        except ValueError as fault:
            self.fail(f"expected {self.form.expected} (found {fault})", param, ctx)


ACCOUNT_TYPE: Final = HexType(ACCOUNT)
TRANSACTION_TYPE: Final = HexType(TRANSACTION_ID)


# -- Showing ----------------------------------------------------------------------------------------


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt for programs, as the API writes it."""
    from dataclasses import is_dataclass

    from protocol.codec.json import to_json

    return {
        "transaction": receipt.transaction.hex(),
        "height": receipt.height,
        "time_ms": receipt.time_ms,
        "position": receipt.position,
        "log_index": receipt.log_index,
        "code": receipt.code,
        "operation": receipt.operation,
        "words": receipt.words,
        "results": [to_json(result) if is_dataclass(result) else result for result in receipt.results],
    }


def receipt_lines(receipt: Receipt) -> list[str]:
    """A receipt for people."""
    from protocol.proofs.explain import utc_text

    facts = receipt_json(receipt)
    where = f"height {receipt.height}, position {receipt.position}, log index {receipt.log_index}"
    lines = [f"outcome      final: {'applied' if receipt.ok else 'refused by the ledger, nothing changed'}"]
    if not receipt.ok:
        which = "" if receipt.operation is None else f", operation {receipt.operation + 1}"
        lines.append(f"reason       {receipt.code}{which}: {safe(receipt.words)}")
    lines.append(f"transaction  {facts['transaction']}")
    lines.append(f"place        {where}")
    lines.append(f"time         {utc_text(receipt.time_ms)}")
    for index, result in enumerate(facts["results"]):
        if result:  # encoded, as hex, where the node has not the block any more
            opened = {"encoded": result} if isinstance(result, str) else dict(result)
            told = ", ".join(f"{name} {value}" for name, value in opened.items())
            lines.append(f"result {index + 1:<5} {safe(told)}")
    return lines


def outcome_json(transaction: bytes, outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs, as the API writes it."""
    facts: dict[str, Any] = {"transaction": transaction.hex(), "status": outcome.stage.value}
    if outcome.receipt is not None:
        facts["receipt"] = receipt_json(outcome.receipt)
    if outcome.code:
        facts |= {"code": outcome.code, "detail": outcome.words}
    return facts


def heard_by(node: Mapping[str, Any]) -> frozenset[str]:
    """Keys (hex) of the nodes that the one with this status hears itself, its own among them."""
    return frozenset((*node["hears"], node["node_key"]))


def safe(text: str) -> str:
    """Text from elsewhere, for a terminal: what does not print is escaped."""
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def duration_text(milliseconds: int) -> str:
    """A length of time, as people say it."""
    seconds = milliseconds // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def bytes_text(count: int) -> str:
    """A size, as people say it."""
    if count < 1024:
        return f"{count} B"
    step = min(4, int(math.log(count, 1024)))
    return f"{count / 1024**step:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Show on a terminal that something is being waited for; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(words):
        yield
