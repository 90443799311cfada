"""Which applications hold under which version of the rules (L-23), and what happened, in words.

Execution asks `rules_at` for each block. A change of any rule of an application that could change a result, a refusal,
its code, its words, or a byte of the state, is a new version here, with the old one kept beside it: a newer program
replays an older ledger to the same roots.

What the applications offer, for machines, is said by `protocol.ledger.describe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from protocol.apps.accounts import ACCOUNTS_APP
from protocol.apps.common import App, quoted
from protocol.apps.evidence.application import EVIDENCE_APP
from protocol.apps.members.application import MEMBERS_APP
from protocol.apps.points.application import POINTS_APP
from protocol.codec import decode
from protocol.errors import CODES, OK, Malformed, OperatorFault
from protocol.ledger.application import Rules, make_rules
from protocol.ledger.genesis import Genesis, rules_version
from protocol.ledger.records import Operation, Receipt

APPLICATIONS: Final[Mapping[int, tuple[App, ...]]] = MappingProxyType(
    {
        1: (ACCOUNTS_APP, EVIDENCE_APP, POINTS_APP),
        2: (ACCOUNTS_APP, EVIDENCE_APP, POINTS_APP, MEMBERS_APP),
    }
)
"""Version of the rules to its applications."""
NEWEST_RULES: Final = max(APPLICATIONS)
"""What a new network begins with."""

RULES: Final[Mapping[int, Rules]] = MappingProxyType(
    {version: make_rules(version, applications) for version, applications in APPLICATIONS.items()}
)
"""Every version of the rules that this program knows."""


def rules_by_version(version: int) -> Rules:
    """The rules of that version. Raises OperatorFault if this program does not know them."""
    if version not in RULES:
        known = ", ".join(str(number) for number in RULES)
        raise OperatorFault(f"rules version {version} is not known to this program (it knows {known}); use a newer one")
    return RULES[version]


def rules_at(genesis: Genesis, height: int) -> Rules:
    """The rules that hold at `height`; genesis itself is written by those of height 1. Raises OperatorFault."""
    return rules_by_version(rules_version(genesis, max(1, height)))


def check_rules(genesis: Genesis) -> None:
    """Raises OperatorFault if genesis schedules rules that this program does not know."""
    for scheduled in genesis.rules:
        rules_by_version(scheduled.version)


def explain(rules: Rules, operation: Operation, result: bytes = b"") -> str:
    """What a successful operation did, in a sentence; `result` as in its receipt.

    What cannot be opened is said to be so, never guessed: the file may come from anybody.
    """
    name = f"{quoted(operation.app)} {quoted(operation.name)}"
    application = next((app for app in APPLICATIONS.get(rules.version, ()) if app.name == operation.app), None)
    if application is None or operation.name not in application.operations:
        return f"An operation {name}, which these rules do not have."
    kind = application.operations[operation.name]
    try:
        arguments: Any = decode(kind.arguments, operation.arguments)
        opened = decode(kind.result, result) if kind.result is not None and result else None
    except Malformed as fault:
        return f"An operation {name} that cannot be opened: {fault.words}."
    return application.explanations[operation.name](arguments, opened)


def explain_receipt(rules: Rules, operations: Iterable[Operation], receipt: Receipt) -> list[str]:
    """What became of an envelope with these operations, a sentence for each.

    A refused envelope did nothing, and the sentences say nothing else.
    """
    listed = list(operations)
    if receipt.code != OK:
        return _refused(listed, receipt)
    results = receipt.results if len(receipt.results) == len(listed) else (b"",) * len(listed)
    return [explain(rules, operation, result) for operation, result in zip(listed, results, strict=True)]


def _refused(operations: list[Operation], receipt: Receipt) -> list[str]:
    at = receipt.operation
    if at is None or at >= len(operations):
        which = "It"
    else:
        which = f"Operation {at + 1} of {len(operations)} ({quoted(operations[at].app)} {quoted(operations[at].name)})"
    meaning = f", which means: {CODES[receipt.code].meaning}" if receipt.code in CODES else ""
    words = f" ({quoted(receipt.words)})" if receipt.words else ""
    return [f"Nothing was done. {which} was refused with {quoted(receipt.code)}{words}{meaning}."]
