"""`papilio tx`, `block`, `account`: what is on the ledger, as a node tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.cli.exits import ExitCode
from daemon.cli.output import emit, json_option, table
from daemon.cli.remote import (
    ACCOUNT_TYPE,
    TRANSACTION_TYPE,
    client_of,
    node_options,
    outcome_json,
    receipt_lines,
    safe,
    waiting,
)
from daemon.config.texts import ACCOUNT

STAGE_WORDS = {
    "pending": "pending: it waits, or is in a block that is not final yet",
    "refused": "refused by this node",
    "expired": "expired: it is not on the ledger, and can't come there any more",
    "not_seen": "not seen here: another node may know it",
}


@click.command()
@click.argument("transaction", type=TRANSACTION_TYPE)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for a certain outcome.",
)
@node_options
@json_option
def tx(transaction: bytes, wait_seconds: float, nodes: tuple[str, ...], timeout_seconds: float) -> int:
    """Show what became of TRANSACTION: its receipt if it is final, or what this node knows of it.

    Exit code 0 if it is final and was applied, 3 if it is pending, 1 otherwise.

    \b
    Example:
        papilio tx 5d0c…9f --wait 10
    """
    with client_of(nodes) as client, waiting(f"waiting for {transaction.hex()[:16]}…"):
        if wait_seconds:
            outcome = client.wait(transaction, timeout_seconds=wait_seconds)
        else:
            outcome = client.outcome(transaction, timeout_seconds=timeout_seconds)

    def lines() -> None:
        if outcome.receipt is not None:
            print("\n".join(receipt_lines(outcome.receipt)))
            return
        print(f"outcome      {STAGE_WORDS[outcome.stage.value]}")
        if outcome.code:
            print(f"reason       {outcome.code}: {safe(outcome.words)}")
        print(f"transaction  {transaction.hex()}")

    emit(outcome_json(transaction, outcome), lines)
    if outcome.receipt is not None:
        return ExitCode.DONE if outcome.receipt.ok else ExitCode.FAILED
    return ExitCode.UNKNOWN if outcome.stage.value == "pending" else ExitCode.FAILED


class HeightType(click.ParamType[int | None]):
    """A height, or `latest`."""

    name = "height"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The height; None for the latest."""
        if value is None or value == "latest":
            return None
        if not (str(value).isascii() and str(value).isdecimal()):
            self.fail(f"{value!r} is neither a height nor the word latest", param, ctx)
        return int(value)


@click.command()
@click.argument("height", type=HeightType(), default="latest")
@node_options
@json_option
def block(height: int | None, nodes: tuple[str, ...], timeout_seconds: float) -> None:
    """Show the final block at HEIGHT, or the latest.

    \b
    Example:
        papilio block 12
    """
    with client_of(nodes) as client:
        found = client.block(height, timeout_seconds=timeout_seconds)
    emit(dict(found.raw), lambda: _block_lines(found.raw))


def _block_lines(raw: Any) -> None:
    from protocol.proofs.explain import utc_text

    finalization = raw["finalization"]
    own = "by a later block's" if finalization is None else f"its own, signed by {finalization['signers']} validators"
    rows = {
        "height": raw["height"],
        "hash": raw["hash"],
        "parent": raw["parent"],
        "time": utc_text(raw["time_ms"]),
        "proposer": raw["proposer"],
        "finalized": own,
        "batches": len(raw["references"]),
        "state root": raw["state_root"],
        "log": f"{raw['log_size']} receipts, root {raw['log_root']}",
        "receipts": len(raw["transactions"]),
    }
    for row, text in rows.items():
        print(f"{row:<10} {text}")
    for transaction in raw["transactions"]:
        print(f"    {transaction}")


@click.command()
@click.argument("account", required=False, type=ACCOUNT_TYPE)
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="The account that this key file names.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Transactions shown.")
@click.option("--after", type=click.IntRange(0), help="Show transactions after this log index.")
@node_options
@json_option
def account(
    account: bytes | None,
    key_file: Path | None,
    limit: int,
    after: int | None,
    nodes: tuple[str, ...],
    timeout_seconds: float,
) -> None:
    """Show the keys of ACCOUNT and its transactions, in their order.

    \b
    Example:
        papilio account --key alice.key
    """
    if (account is None) == (key_file is None):
        raise click.UsageError("say which account: its name, or --key with a key file")
    name = _account_of(key_file) if account is None else account
    query = [("limit", str(limit)), *([("after", str(after))] if after is not None else [])]
    with client_of(nodes) as client:
        keys = client.get_json(f"/v1/accounts/{name.hex()}", timeout_seconds=timeout_seconds)
        listed = client.get_json(f"/v1/accounts/{name.hex()}/transactions", query, timeout_seconds=timeout_seconds)
    facts = {**keys, "transactions": listed["transactions"], "next_after": listed.get("next_after")}
    facts["from_height"] = listed.get("from_height", 1)
    emit(facts, lambda: _account_lines(name, facts))


def _account_of(key_file: Path | None) -> bytes:
    from daemon.client.account import Account

    assert key_file is not None, "asked for above"
    return Account.read(key_file).name


def _account_lines(name: bytes, facts: Any) -> None:
    from protocol.proofs.explain import utc_text

    print(f"account    {ACCOUNT.format(name)}")
    print(f"member     {safe(facts['member'] or '-')}")
    if facts["keys"] is None:
        print("keys       the first key, which names the account")
    else:
        print(f"keys       {facts['threshold']} of these {len(facts['keys'])} must sign:")
        for key in facts["keys"]:
            print(f"    {key}")
    rows = [
        [str(item["log_index"]), str(item["height"]), utc_text(item["time_ms"]), item["code"], item["transaction"]]
        for item in facts["transactions"]
    ]
    print()
    if facts["from_height"] > 1:
        since = f"from block {facts['from_height']} on"
        print(f"this node knows this account's transactions {since}: it joined by a snapshot")
    if not rows:
        print("no transactions")
        return
    table(("log index", "height", "time", "code", "transaction"), rows)
    if facts["next_after"] is not None:
        print(f"more: --after {facts['next_after']}")
