"""Which rules hold at which height: genesis says the version, this program the rules (L-23).

The one place where the daemon ties the two together, for its workers, its service and its tools.
"""

from __future__ import annotations

from protocol.apps.registry import RULES
from protocol.errors import OperatorFault
from protocol.ledger.application import Rules
from protocol.ledger.genesis import Genesis, rules_version


def rules_at(genesis: Genesis, height: int) -> Rules:
    """The rules of the block of `height` (0: those that write genesis). Raises OperatorFault for unknown ones."""
    version = rules_version(genesis, max(1, height))
    rules = RULES.get(version)
    if rules is None:
        known = ", ".join(str(number) for number in RULES)
        raise OperatorFault(
            f"rules version {version} holds from this height on, and this program knows {known}: run a newer one"
        )
    return rules
