"""`papilio submit`: an operation, signed, sent, and its receipt.

    papilio submit evidence record --digest-of report.pdf --key alice.key
    papilio submit points transfer --programme … --to … --units 25 --key alice.key
    papilio submit --file operations.json --key alice.key

Commands of applications and their options are made from the applications' own description (operation_options.py), so an
application added to the program has its commands without a line here. `--digest-of` is the one exception: whoever
records a document has a file, not a digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from daemon.cli.operation_options import arguments_from, leaves, options_of, required, sample_of
from daemon.cli.output import emit, json_option, say
from daemon.cli.remote import (
    ACCOUNT_TYPE,
    client_of,
    node_options,
    receipt_json,
    receipt_lines,
    waiting,
)
from protocol.errors import BAD_ARGUMENTS, OperatorFault

if TYPE_CHECKING:
    from protocol.crypto.signing import SigningKey

OPERATIONS_BYTES_MAX: Final = 4 * 1024 * 1024
SHA256: Final = "1"
EXAMPLE_COLUMNS: Final = 100
DIGEST_OPTION: Final = "--digest-of"
DIGEST_FIELDS: Final = ("algorithm", "digest", "size")
KEY_WORDS: Final = "Key file to sign with; several for an account that wants several. Required."


def describe_apps() -> dict[str, Any]:
    """Applications by name, as this program knows them: no node is needed to show help."""
    from protocol.apps.registry import RULES
    from protocol.ledger.describe import describe

    described = describe(RULES[max(RULES)])
    return {application["name"]: application for application in described["applications"]}


def sending_options(command: click.Command, *, key_words: str = KEY_WORDS) -> click.Command:
    """What every command that sends takes: whose keys, how long, which node."""
    made = [
        click.Option(
            ["--key", "keys"],
            multiple=True,
            type=click.Path(path_type=Path),
            help=key_words,
        ),
        click.Option(["--sender"], type=ACCOUNT_TYPE, help="The account that sends, if not the one of the key."),
        click.Option(
            ["--consent", "consents"],
            multiple=True,
            type=click.Path(path_type=Path),
            help="Key file of another account whose consent the operation needs.",
        ),
        click.Option(
            ["--valid", "validity_seconds"],
            type=click.FloatRange(1, 86_400),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Void if not final after so long.",
        ),
        click.Option(
            ["--wait", "wait_seconds"],
            type=click.FloatRange(0, 86_400),
            metavar="SECONDS",
            help="Wait so long for the receipt; by default until the outcome is certain.",
        ),
    ]
    command.params.extend(made)
    node_options(command)
    json_option(command)
    return command


class Applications(click.Group):
    """One group for each application of the description."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the applications."""
        del ctx
        return list(describe_apps())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The application's operations as commands."""
        del ctx
        described = describe_apps().get(cmd_name)
        if described is None:
            return None
        group = click.Group(cmd_name, help=f"{described['words']}\n\n{_example(cmd_name, described['operations'][0])}")
        for operation in described["operations"]:
            group.add_command(operation_command(cmd_name, operation))
        return group


def operation_command(app: str, operation: Mapping[str, Any]) -> click.Command:
    """The command of one operation."""
    schema = operation["arguments"]
    digest_of = _takes_digest(schema)

    def run(**given: Any) -> int:
        document = given.pop("document", None)
        if document is not None:
            given |= _digest_of(schema, document)
        arguments = arguments_from(schema, given)
        sending = {name: value for name, value in given.items() if not name.startswith("field_")}
        return send([{"app": app, "name": operation["name"], "arguments": arguments}], **sending)

    refusals = "\n".join(f"    {refusal['code']}: {refusal['meaning']}" for refusal in operation["refusals"])
    told = f"\n\n\b\nThe ledger may refuse it with:\n{refusals}" if refusals else ""
    command = click.Command(
        operation["name"],
        callback=run,
        params=list(options_of(schema, dict.fromkeys(DIGEST_FIELDS, DIGEST_OPTION) if digest_of else None)),
        help=f"{operation['words']}\n\n{_example(app, operation)}{told}",
        short_help=operation["words"],
    )
    if digest_of:
        words = "Take digest, size and algorithm of this file."
        command.params.insert(0, click.Option([DIGEST_OPTION, "document"], type=click.Path(path_type=Path), help=words))
    return sending_options(command)


def _example(app: str, operation: Mapping[str, Any]) -> str:
    """A command with all that it needs, made from the description like the options."""
    schema = operation["arguments"]
    digest_of = _takes_digest(schema)
    needed = [leaf for leaf in required(schema) if not (digest_of and leaf.path[-1] in DIGEST_FIELDS)]
    parts = [f"--{leaf.option} {sample_of(leaf)}" for leaf in needed]
    if digest_of:
        parts.append(f"{DIGEST_OPTION} report.pdf")
    lines = [f"papilio submit {app} {operation['name']}"]
    for part in (*parts, "--key alice.key"):
        if len(lines[-1]) + len(part) < EXAMPLE_COLUMNS:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    text = " \\\n    ".join(lines)
    return f"\b\nExample:\n    {text}"


def _takes_digest(schema: Mapping[str, Any]) -> bool:
    return set(DIGEST_FIELDS) <= {leaf.path[-1] for leaf in leaves(schema)}


def _digest_of(schema: Mapping[str, Any], document: Path) -> dict[str, str]:
    try:
        with document.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except OSError as error:
        raise OperatorFault(f"{document} cannot be read: {str(error.strerror).lower()}") from error
    values = {"algorithm": SHA256, "digest": digest, "size": str(size)}
    return {leaf.parameter: values[leaf.path[-1]] for leaf in leaves(schema) if leaf.path[-1] in values}


@click.group(cls=Applications, invoke_without_command=True)
@click.option("--file", type=click.Path(path_type=Path, allow_dash=True), help="Operations as JSON; - is stdin.")
@click.pass_context
def submit(context: click.Context, /, file: Path | None, **sending: Any) -> int | None:
    """Sign operations, send them as one transaction, wait for its receipt and show it.

    All apply, or none. Sending is safe to repeat: papilio sends the same envelope until its outcome is certain.
    Exit code 0 if it was applied, 1 if it was refused, 3 if the outcome is not known yet.

    A file holds {"app": ..., "name": ..., "arguments": {...}}, or an array of such; see papilio submit APP --help.

    \b
    Examples:
        papilio submit evidence record --digest-of report.pdf --key alice.key
        papilio submit --file operations.json --key alice.key
        papilio submit points --help
    """
    if context.invoked_subcommand is not None:
        if file is not None or sending["keys"]:
            raise click.UsageError("options stand after the operation's name; --file goes without one")
        return None
    if file is None:
        raise click.UsageError("say what: APP OPERATION (papilio submit --help lists them), or --file with operations")
    return send(read_operations(file), **sending)


sending_options(submit)


def read_operations(file: Path) -> list[dict[str, Any]]:
    """The operations in a file, or on standard input for `-`. Raises OperatorFault."""
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(OPERATIONS_BYTES_MAX + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(OPERATIONS_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorFault(f"{file} cannot be read: {str(error.strerror).lower()}") from error
    if len(data) > OPERATIONS_BYTES_MAX:
        raise OperatorFault(f"{file} has more than {OPERATIONS_BYTES_MAX} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise OperatorFault(f"{file} is not JSON: {error}") from error
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(item, dict) for item in listed):
        raise OperatorFault(f'{file}: expected {{"app": ..., "name": ..., "arguments": {{...}}}}, or an array of such')
    return listed


def send(
    operations: Sequence[Mapping[str, Any]],
    *,
    keys: tuple[Path, ...],
    sender: bytes | None,
    consents: tuple[Path, ...],
    validity_seconds: float,
    wait_seconds: float | None,
    nodes: tuple[str, ...],
    timeout_seconds: float,
    also: Sequence[SigningKey] = (),
) -> int:
    """Sign, send, wait, show. Raises Ended for everything but a receipt of success.

    also: keys that sign besides those in files of accounts, or alone, as the account that the one key names.
    """
    from daemon.client.account import Account
    from daemon.client.core import succeeded

    if not keys and not also:
        raise click.UsageError("missing: --key with the key file to sign with (papilio key new makes one)")
    try:
        account = Account([*(Account.read(file).keys[0] for file in keys), *also], sender)
        others = [Account.read(file) for file in consents]
    except ValueError as fault:
        raise OperatorFault(f"--key: {fault}", code=BAD_ARGUMENTS) from fault
    with client_of(nodes) as client:
        sealed = client.prepare(
            account, operations, consents=others, validity_seconds=validity_seconds, timeout_seconds=timeout_seconds
        )
        say(f"transaction {sealed.transaction.hex()}")
        with waiting("waiting for finality…"):
            (result,) = client.send_all([sealed], timeout_seconds=wait_seconds)
        receipt = succeeded(result)
    emit(receipt_json(receipt), lambda: print("\n".join(receipt_lines(receipt))))
    return 0
