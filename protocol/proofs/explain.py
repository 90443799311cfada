"""A verified proof in words, for a person who knows neither hashes nor consensus (L-21).

Only what was verified is said. A refused transaction is called that in the first line, so that nobody takes a
failure for a success. Times are UTC, from whole milliseconds.
"""

from __future__ import annotations

from protocol.errors import CODES
from protocol.ledger.spaces import parse_state_key
from protocol.proofs.finality import FinalHeader
from protocol.proofs.verify import VerifiedReceipt, VerifiedState


def explain(verified: VerifiedReceipt | VerifiedState) -> str:
    """Some lines of text."""
    lines = _receipt_lines(verified) if isinstance(verified, VerifiedReceipt) else _state_lines(verified)
    lines += _final_lines(verified.final)
    lines.append(f"Network: {verified.network}, id {verified.network_id.hex()}. Nothing else had to be trusted.")
    return "\n".join(lines)


def utc_text(time_ms: int) -> str:
    """Milliseconds since 1970 as `2024-02-29 23:59:59.123 UTC` (proleptic Gregorian calendar)."""
    seconds, milliseconds = divmod(time_ms, 1000)
    days, rest = divmod(seconds, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)  # days since 0000-03-01, in cycles of 400 years
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153  # months since March
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = era * 400 + year_of_era + (1 if month <= 2 else 0)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{milliseconds:03}"
    return f"{year:04}-{month:02}-{day:02} {clock} UTC"


def _receipt_lines(verified: VerifiedReceipt) -> list[str]:
    receipt, envelope = verified.receipt, verified.envelope
    operations = envelope.body.operations
    where = f"at height {receipt.height}, position {receipt.position}, {utc_text(receipt.time_ms)}"
    if verified.ok:
        lines = [f"RECORDED: the transaction was applied, {where}."]
    else:
        meaning = CODES[receipt.code].meaning if receipt.code in CODES else "a code that this program does not know"
        lines = [f"REFUSED: the transaction was recorded as failed and changed nothing, {where}."]
        lines.append(f"  Reason: {receipt.code} ({meaning}).")
        if receipt.operation is not None and receipt.operation < len(operations):
            failed = operations[receipt.operation]
            words = f": {receipt.words}" if receipt.words else ""
            lines.append(f"  Operation {receipt.operation + 1}, {failed.app}.{failed.name}{words}")
    lines.append(f"  Transaction: {receipt.transaction.hex()}")
    lines.append(f"  Sender: account {envelope.account.hex()}")
    lines += [f"  Signed by key {signer.hex()}" for signer in envelope.signers]
    names: dict[str, int] = {}
    for operation in operations:
        name = f"{operation.app}.{operation.name}"
        names[name] = names.get(name, 0) + 1
    lines.append("  Operations: " + ", ".join(f"{count} x {name}" for name, count in names.items()))
    lines.append(f"  Receipt {verified.log_index} of the network's log.")
    if envelope.body.network_id != verified.network_id:
        earlier = envelope.body.network_id.hex()
        lines.append(f"  It was recorded in network {earlier}, which this network goes on from.")
    return lines


def _state_lines(verified: VerifiedState) -> list[str]:
    space, parts = parse_state_key(verified.key)
    texts = [part.hex() if isinstance(part, bytes) else str(part) for part in parts]
    key = "/".join([space, *texts])
    if verified.value is None:
        return [f"ABSENT: at height {verified.height} the state had no value under {key}."]
    return [f"PRESENT: at height {verified.height} the state held under {key}", f"  {verified.value.hex()}"]


def _final_lines(final: FinalHeader) -> list[str]:
    power = f"power {final.power} of {final.total_power} (a quorum is {final.quorum_power})"
    return [
        f"  Covered by the block of height {final.header.height}, hash {final.hash.hex()},",
        f"  made final by {final.signers} of {final.validators} validators with {power}.",
    ]
