"""A restart in words, for whoever has nothing but its file (decision 0014).

Only what follows from the file is said; what cannot be known is said to be so, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protocol.apps.members.changes import read_change
from protocol.ledger.genesis import network_id
from protocol.ledger.records import header_hash
from protocol.proofs.explain import utc_text
from protocol.restart.document import Opened
from protocol.restart.weighing import Weighed

LINES_MAX = 20
"""Of one list; the rest is counted."""


def explain_restart(opened: Opened, signed: Iterable[str]) -> str:
    """Some lines of text. signed: names of members that have signed."""
    weighed, document = opened.weighed, opened.document
    whose = {v.voting_key: v.member for v in (*opened.genesis.validators, *document.decided.validators)}
    lines = [
        f"RESTART of network {opened.genesis.name}, id {weighed.network_id.hex()}.",
        f"  It goes on as network {opened.succession.name}, id {opened.network_id.hex()}.",
        f"  Document {opened.digest.hex()}.",
        *_kept_lines(opened),
        *_knowledge_lines(weighed),
        *_witness_lines(weighed, whose),
        *_cut_lines(opened),
        *_signed_lines(opened, signed),
        *_onward_lines(opened),
    ]
    if document.words:
        lines.append(f"Its authors say: {document.words}")
    return "\n".join(lines)


def _kept_lines(opened: Opened) -> list[str]:
    weighed, kept = opened.weighed, opened.document.kept
    tip, base = weighed.tip, weighed.base
    lines = [
        f"KEPT: all blocks up to {tip.height}, {header_hash(tip).hex()}, of {utc_text(tip.time_ms)}.",
        f"  {kept.log_size} receipts, log root {kept.log_root.hex()}; state root {kept.state_root.hex()}.",
        f"  A quorum made block {base.header.height} final.",
    ]
    if weighed.kept:
        count = len(weighed.kept)
        blocks = f"block {tip.height}" if count == 1 else f"blocks {tip.height - count + 1} to {tip.height}"
        lines.append(f"  A quorum found {blocks} valid; whether one of these was final somewhere, nobody here can say.")
        lines.append("  By this restart they are.")
    return lines


def _knowledge_lines(weighed: Weighed) -> list[str]:
    voters = weighed.validators
    others = voters.total - weighed.counted
    facts = f"power {weighed.counted} of {voters.total} has reported all it signed; a quorum is {voters.quorum}"
    if weighed.certain:
        slack = weighed.counted - voters.blocking
        lines = [
            "NOTHING FINAL IS CUT: everything that can be final anywhere is kept.",
            f"  In epoch {weighed.epoch}, {facts}. The others have {others}: without these they make nothing final.",
            "  Those that reported sign nothing more in the old network, so it cannot go on beside the new one.",
        ]
        lies = "all that reported are honest" if slack == 0 else f"at most power {slack} of those that reported lied"
        return [*lines, f"  This holds if {lies}, and at most {(voters.total - 1) // 3} ever was dishonest."]
    lines = ["SOMETHING FINAL MAY BE MISSING. What can't be known:", f"  In epoch {weighed.epoch}, {facts}."]
    if weighed.counted < voters.blocking:
        lines += [
            f"  The others have {others}, a quorum: they may have made further blocks final, and nobody here knows",
            "  how many or what is in them. Should they return, the old network can go on beside this one.",
        ]
    if weighed.next_unknown:
        lines.append(f"  The last kept block ends epoch {weighed.epoch}: the next may have begun, with others.")
    endangered = [cut for cut in weighed.cut if cut.may_be_final]
    lines += [f"  Block {cut.hash.hex()} may be final; not all that it needs is held here." for cut in endangered]
    return lines


def _witness_lines(weighed: Weighed, whose: Mapping[bytes, str]) -> list[str]:
    lines = ["Reports:"]
    for witness in weighed.witnesses:
        standing = "counts" if witness.counts else f"does not count: {witness.words}"
        name = whose.get(witness.voting_key, "?")
        lines.append(f"  {name}, power {witness.power}, final to {witness.height}: {standing}")
    for key, power in weighed.lost:
        lines.append(f"  {whose.get(key, '?')}, power {power}: none; validator {key.hex()}")
    return lines


def _cut_lines(opened: Opened) -> list[str]:
    weighed, document = opened.weighed, opened.document
    if not weighed.cut and not document.cut:
        return ["CUT: nothing that the reports know of."]
    lines = [f"CUT: {len(weighed.cut)} blocks that the reports know of, {len(document.cut)} transactions in them."]
    for cut in weighed.cut[:LINES_MAX]:
        height = "?" if cut.header is None else str(cut.header.height)
        how = f"notarized in view {cut.notarized_view}" if cut.notarized_view else "proposed, never notarized"
        can = "MAY BE FINAL" if cut.may_be_final else "not final" if weighed.blocking else "not known to be final"
        lines.append(f"  block {height} {cut.hash.hex()}: {how}; {can}")
    lines += [f"  transaction {transaction.hex()}" for transaction in document.cut[:LINES_MAX]]
    more = max(0, len(weighed.cut) - LINES_MAX) + max(0, len(document.cut) - LINES_MAX)
    return [*lines, *([f"  and {more} more in the file"] if more else [])]


def _signed_lines(opened: Opened, signed: Iterable[str]) -> list[str]:
    names, members = list(signed), [voice.name for voice in opened.voices]
    rule = f"the old network's rule asks for {opened.needed}"
    enough = "" if len(names) >= opened.needed else ": TOO FEW"
    lines = [f"SIGNED by {len(names)} of {len(members)} members ({rule}){enough}: {', '.join(names) or 'nobody'}."]
    missing = [name for name in members if name not in names]
    return [*lines, *([f"  Not signed by {', '.join(missing)}."] if missing else [])]


def _onward_lines(opened: Opened) -> list[str]:
    decided = opened.document.decided
    lines = [f"FROM NOW ON: {len(decided.members)} members, validators:"]
    lines += [f"  {v.member}, power {v.power}, key {v.voting_key.hex()}" for v in decided.validators]
    if decided.changes:
        names = [type(read_change(data)).__name__ for data in decided.changes]
        lines.append(f"  by {len(names)} changes: {', '.join(names)}")
    lines.append(f"  parameters {'as before' if decided.parameters == opened.genesis.parameters else 'changed'}.")
    return lines


def restart_facts(opened: Opened, signed: Iterable[str]) -> dict[str, object]:
    """The same for programs."""
    weighed, document = opened.weighed, opened.document
    return {
        "old_network_id": network_id(opened.genesis).hex(),
        "new_network_id": opened.network_id.hex(),
        "document": opened.digest.hex(),
        "certain": weighed.certain,
        "kept": {
            "height": weighed.tip.height,
            "hash": header_hash(weighed.tip).hex(),
            "certified_height": weighed.base.header.height,
            "state_root": document.kept.state_root.hex(),
            "log_size": document.kept.log_size,
            "log_root": document.kept.log_root.hex(),
        },
        "power": {
            "counted": weighed.counted,
            "blocking": weighed.validators.blocking,
            "quorum": weighed.validators.quorum,
            "total": weighed.validators.total,
        },
        "reports": [
            {"voting_key": w.voting_key.hex(), "power": w.power, "counts": w.counts, "words": w.words}
            for w in weighed.witnesses
        ],
        "lost": [{"voting_key": key.hex(), "power": power} for key, power in weighed.lost],
        "cut": {
            "blocks": [{"hash": cut.hash.hex(), "may_be_final": cut.may_be_final} for cut in weighed.cut],
            "transactions": [transaction.hex() for transaction in document.cut],
        },
        "signed": list(signed),
        "members": [voice.name for voice in opened.voices],
        "needed": opened.needed,
    }
