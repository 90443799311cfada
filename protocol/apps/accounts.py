"""The application `accounts`: the keys that act for an account, and how many of them must (L-6).

One operation. `set_keys` replaces the sender's keys and threshold; the name stays, and a record once written stays
for ever, so that a key that was replaced never acts again. Who may send it is decided as for any envelope: enough
of the keys that hold at the moment. It holds from the next envelope on, also inside the same block; operations
after it in the same envelope run under the authorisation that was judged before it.

The new keys need not sign: k keys of one set and k of another may be more than an envelope's signers. A set that
nobody holds therefore locks the account for ever; clients show the keys and ask.

Deliberately absent: recovery by others, rights, names and profiles of accounts. Rights of members come from genesis.
"""

from __future__ import annotations

from typing import Annotated, Final

from protocol import limits
from protocol.apps.common import App, make_app, short
from protocol.codec import Items, Key, Range, record
from protocol.errors import BAD_ARGUMENTS
from protocol.ledger.accounts import ACCOUNTS, Account, check_account, write_account
from protocol.ledger.application import Context, OperationKind
from protocol.ledger.state import State


@record(kind=100)
class SetKeys:
    """Replace the sender's keys (distinct, ascending) and how many of them must sign."""

    keys: Annotated[tuple[Key, ...], Items(1, limits.ACCOUNT_KEYS_MAX)]
    threshold: Annotated[int, Range(1, limits.SIGNERS_MAX)]


def _check(arguments: SetKeys) -> None:
    check_account(Account(arguments.keys, arguments.threshold))


def _apply(context: Context, state: State, arguments: SetKeys) -> None:
    write_account(context.account, Account(arguments.keys, arguments.threshold), state)


def _explain(arguments: SetKeys, _result: None) -> str:
    keys = ", ".join(short(key) for key in arguments.keys)
    return f"From then on {arguments.threshold} of {len(arguments.keys)} keys must sign for this account: {keys}."


ACCOUNTS_APP: Final[App] = make_app(
    "accounts",
    "The keys that act for an account; its name stays.",
    (ACCOUNTS,),
    [
        (
            OperationKind(
                name="set_keys",
                arguments=SetKeys,
                result=None,
                words="Replace the sender's keys and the number of them that must sign.",
                apply=_apply,
                check=_check,
                refusals=(BAD_ARGUMENTS,),
            ),
            _explain,
        )
    ],
)
