"""`papilio proof`: files that prove what was recorded, to anyone, without any node.

`get` asks a node for one. `show` and `verify` need the file and network.toml, and nothing else: no node, no network.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from daemon.cli.exits import Ended, ExitCode
from daemon.cli.output import emit, json_option, say
from daemon.cli.proven import network_option, proven
from daemon.cli.remote import TRANSACTION_TYPE, client_of, node_options, waiting
from daemon.config.texts import ACCOUNT, PUBLIC_KEY, TRANSACTION_ID
from protocol.errors import PROOF_OTHER_DOCUMENT, OperatorFault

if TYPE_CHECKING:
    from daemon.client.proving import Verified
    from protocol.ledger.spaces import Part
    from protocol.proofs.verify import VerifiedReceipt, VerifiedState


_WORDS: Final = tuple(f"{form.prefix}:" for form in (ACCOUNT, TRANSACTION_ID, PUBLIC_KEY))


@click.group()
def proof() -> None:
    """Get, show and verify proofs that hold without any node.

    \b
    Example:
        papilio proof get 5d0c…9f --out receipt.proof
        papilio proof verify receipt.proof --network network.toml
    """


@proof.command()
@click.argument("transaction", required=False, type=TRANSACTION_TYPE)
@click.option("--out", type=click.Path(path_type=Path, allow_dash=True), help="Where to write it; - is stdout.")
@click.option("--state", "space", help="Prove a value of the state instead, or its absence: name of a space.")
@click.option("--part", "parts", multiple=True, help="With --state: the parts of its key, in order; bytes in hex.")
@node_options
@json_option
def get(
    transaction: bytes | None,
    out: Path | None,
    space: str | None,
    parts: tuple[str, ...],
    nodes: tuple[str, ...],
    timeout_seconds: float,
) -> None:
    """Get the proof file of TRANSACTION's receipt, as soon as it can be proven: a block or two after it is final.

    \b
    Examples:
        papilio proof get 5d0c…9f --out receipt.proof
        papilio proof get --state points.balance --part 5d…0c --part 9f…3a --out balance.proof

    Of records that are only ever added, such as evidence, that there is none cannot be proven; and the file of one
    shows others of the same block. To strangers give the proof of its transaction.
    """
    if (transaction is None) == (space is None):
        raise click.UsageError("say what to prove: a transaction, or --state with a space and the parts of a key")
    with client_of(nodes) as client, waiting("waiting until it can be proven…"):
        if transaction is not None:
            data = client.proof(transaction, timeout_seconds=timeout_seconds)
        else:
            declared, key = _state_key(space or "", parts)
            data = client.state_proof(declared, *key, timeout_seconds=timeout_seconds)
    name = f"{transaction.hex()[:16]}.proof" if transaction is not None else f"{space}.proof"
    file = out or Path(name)
    if str(file) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        file.write_bytes(data)
    except OSError as error:
        raise OperatorFault(f"{file} cannot be written: {str(error.strerror).lower()}") from error
    emit({"file": str(file), "bytes": len(data)}, lambda: print(file))
    say(f"Verify it anywhere, with nothing but network.toml: papilio proof verify {file} --network network.toml")


def _state_key(space: str, parts: tuple[str, ...]) -> tuple[Any, tuple[Any, ...]]:
    from protocol.apps.registry import RULES
    from protocol.errors import Malformed
    from protocol.ledger.spaces import parts_from_text

    rules = RULES[max(RULES)]
    by_second_key = rules.second.get(space)
    declared = rules.spaces.get(space) if by_second_key is None else by_second_key.also
    if declared is None:
        names = ", ".join([*rules.spaces, *rules.second])
        raise click.UsageError(f"--state: no space is named {space!r}; there are {names}")
    try:
        return declared, parts_from_text(declared, _bare(declared.parts, parts))
    except Malformed as fault:
        raise click.UsageError(f"--part: {fault.words}") from fault


def _bare(declared: Sequence[Part], texts: Sequence[str]) -> list[str]:
    """Without the word that papilio shows in front of accounts, transactions and keys."""
    if len(texts) != len(declared):
        return list(texts)
    return [
        text.split(":", 1)[1] if part.kind == "bytes" and text.startswith(_WORDS) else text
        for part, text in zip(declared, texts, strict=True)
    ]


@proof.command()
@click.argument("file", type=click.Path(path_type=Path))
@network_option
@json_option
def show(file: Path, network: Path) -> int:
    """Verify the proof in FILE and say all that it shows, in words.

    Exit codes as of 'proof verify'.

    \b
    Example:
        papilio proof show receipt.proof --network network.toml
    """
    verified = _verify(file, network)
    facts = {**_facts(verified), "words": _all_words(verified)}
    emit(facts, lambda: print("\n".join(_all_words(verified))))
    return _exit_code(verified)


@proof.command()
@click.argument("file", type=click.Path(path_type=Path))
@network_option
@click.option("--document", type=click.Path(path_type=Path), help="Insist that it records this file's very bytes.")
@json_option
def verify(file: Path, network: Path, document: Path | None) -> int:
    """Verify the proof in FILE offline: only the file and network.toml are used, no node is asked.

    Exit code 0: what it shows was recorded and applied, or is in the state. 1: it proves that the transaction was
    refused. 5: it proves nothing; the words say why.

    \b
    Example:
        papilio proof verify receipt.proof --network network.toml --document report.pdf
    """
    verified = _verify(file, network)
    if document is not None:
        _require_document(verified, document)
    facts = _facts(verified)
    emit(facts, lambda: print(_short_words(verified, document)))
    return _exit_code(verified)


def _verify(file: Path, network: Path) -> Verified:
    from daemon.client.proving import verify_proof

    return proven(file, network, verify_proof)


def _receipt(verified: Verified) -> VerifiedReceipt | None:
    from protocol.proofs.verify import VerifiedReceipt

    return verified if isinstance(verified, VerifiedReceipt) else None


def _require_document(verified: Verified, document: Path) -> None:
    """Raises Ended(UNVERIFIED) unless an operation states exactly these bytes' SHA-256."""
    from protocol.apps.evidence.records import SHA256

    try:
        with document.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise OperatorFault(f"{document} cannot be read: {str(error.strerror).lower()}") from error
    receipt = _receipt(verified)
    stated = () if receipt is None else _statements(receipt)
    if (SHA256, digest) not in stated:
        words = f"NOT PROVEN: the proof holds, but is not about {document}, whose SHA-256 is {digest.hex()}"
        raise Ended(words, code=PROOF_OTHER_DOCUMENT, exit_code=ExitCode.UNVERIFIED, verified=False)


def _statements(receipt: VerifiedReceipt) -> list[tuple[int, bytes]]:
    """(algorithm, digest) of every document that the proven operations record."""
    from protocol.apps.evidence.records import RecordEvidence, Statement, SupersedeEvidence
    from protocol.codec import decode

    classes = {("evidence", "record"): RecordEvidence, ("evidence", "supersede"): SupersedeEvidence}
    found = []
    for operation in receipt.envelope.body.operations:
        cls = classes.get((operation.app, operation.name))
        if cls is not None and receipt.ok:
            statement: Statement = decode(cls, operation.arguments).statement  # it was applied: it is well formed
            found.append((statement.algorithm, statement.digest))
    return found


def _short_words(verified: Verified, document: Path | None) -> str:
    from daemon.client.proving import in_words

    about = "" if document is None else f"\n  It records the very bytes of {document}."
    first, *rest = in_words(verified).split("\n")
    return "\n".join([first + about, *rest])


def _all_words(verified: Verified) -> list[str]:
    from daemon.client.proving import in_words
    from protocol.apps.registry import RULES, explain_receipt
    from protocol.proofs.verify import VerifiedState

    lines = in_words(verified).split("\n")
    receipt = _receipt(verified)
    if receipt is not None:
        rules = RULES[max(RULES)]
        lines += ["", "What it did:"]
        lines += [f"  {line}" for line in explain_receipt(rules, receipt.envelope.body.operations, receipt.receipt)]
    elif isinstance(verified, VerifiedState) and verified.value is not None:
        lines += ["", "The value, opened:"]
        lines += [f"  {name}: {_spoken(part)}" for name, part in _opened(verified.key, verified.value).items()]
    return lines


def _spoken(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(part)


def _opened(key: bytes, value: bytes) -> dict[str, Any]:
    """A value's fields. The verifier knows its space."""
    from protocol.apps.registry import RULES
    from protocol.ledger.describe import state_to_json

    return dict(state_to_json(RULES[max(RULES)], key, value)["value"])


def _facts(verified: Verified) -> dict[str, Any]:
    """The same for programs."""
    from protocol.proofs.verify import VerifiedReceipt

    final = verified.final
    facts: dict[str, Any] = {
        "verified": True,
        "network": verified.network,
        "network_id": verified.network_id.hex(),
        "covered_by": {"height": final.header.height, "hash": final.hash.hex(), "time_ms": final.header.time_ms},
        "signed_by": {"validators": final.signers, "power": final.power, "quorum_power": final.quorum_power},
    }
    return facts | (_receipt_facts(verified) if isinstance(verified, VerifiedReceipt) else _state_facts(verified))


def _receipt_facts(receipt: VerifiedReceipt) -> dict[str, Any]:
    found = receipt.receipt
    return {
        "kind": "receipt",
        "applied": receipt.ok,
        "transaction": found.transaction.hex(),
        "account": receipt.envelope.account.hex(),
        "code": found.code,
        "height": found.height,
        "time_ms": found.time_ms,
        "position": found.position,
        "log_index": receipt.log_index,
    }


def _state_facts(state: VerifiedState) -> dict[str, Any]:
    from protocol.ledger.spaces import parse_state_key

    space, parts = parse_state_key(state.key)
    key = [part.hex() if isinstance(part, bytes) else part for part in parts]
    value = None if state.value is None else state.value.hex()
    facts = {"kind": "state", "space": space, "key": key, "value": value, "height": state.height}
    return facts | ({} if state.value is None else {"opened": _opened(state.key, state.value)})


def _exit_code(verified: Verified) -> ExitCode:
    receipt = _receipt(verified)
    return ExitCode.DONE if receipt is None or receipt.ok else ExitCode.FAILED
