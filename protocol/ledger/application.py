"""What an application is: the small interface between the ledger and its applications (L-8, L-19, L-23).

An application has a name, operations, and spaces of the state. Of each operation it says the record class of
the arguments, a check that needs no state, what applying it does, whose consent it needs beyond the sender's,
and in which words a person should think of it. The ledger does everything else: form, signatures, time window,
authorisation, consent, atomicity, receipts, quotas, proofs.

What an application has to keep:

* **Deterministic** (L-19): no clock but `context.time_ms`, no randomness, no floats, no iteration over sets.
* **Refuse by `Refused(code, words)`** with a code of the table that the operation lists in `refusals`. Codes
  *and words* stand in receipts, so both are consensus: build words from arguments and state only, by f-strings
  of text, integers and hex; never from `repr`, exceptions of libraries, or anything that may change with a
  version. Any other exception is our bug and stops the node.
* Write only its own spaces. What others hold it reads through functions that their modules export. One that *governs*
  also writes what the ledger holds of members and validators.
* Cost bounded by the operation's size: an operation reads and writes a bounded number of keys.

`Rules` are the applications that hold from one height on (L-23): another version of the program's rules is
another `Rules`, and an older ledger is replayed with the older ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from protocol import limits
from protocol.codec import KINDS, decode, encode
from protocol.errors import (
    BAD_ARGUMENTS,
    CODES,
    CONSENT_MISSING,
    UNKNOWN_OPERATION,
    BrokenInvariant,
    Malformed,
    Refused,
)
from protocol.ledger.accounts import authorised
from protocol.ledger.added import PAGES
from protocol.ledger.genesis import Genesis
from protocol.ledger.members import GOVERNED_SPACES, LEDGER_SPACES, member_of_account
from protocol.ledger.records import Operation
from protocol.ledger.spaces import Space
from protocol.ledger.state import State, StateView

_NoneType = type(None)


class Context(NamedTuple):
    """What an operation may know besides the state and its arguments.

    network_id, transaction, account: 32 bytes; `account` is the sender, whose authorisation has been checked.
    height, time_ms: of the block. operation: index within the envelope. signers: keys, distinct, ascending.
    sealing_member: name of the member whose validator sealed the batch.
    """

    network_id: bytes
    height: int
    time_ms: int
    transaction: bytes
    account: bytes
    signers: tuple[bytes, ...]
    sealing_member: str
    operation: int

    def consents(self, account: bytes, state: StateView) -> bool:
        """Whether that account's keys have signed too (L-6); true for the sender itself."""
        return account == self.account or authorised(account, self.signers, state)

    def require_consent(self, account: bytes, state: StateView) -> None:
        """Raises Refused(consent_missing) unless the account has signed too."""
        if not self.consents(account, state):
            raise Refused(CONSENT_MISSING, f"account {account.hex()} has not signed")

    def member(self, state: StateView) -> str | None:
        """Name of the member that the sender is, or None."""
        return member_of_account(self.account, state)


def _nothing_to_check(_arguments: Any) -> None:
    """For operations whose record class says all that can be said without state."""


def _sender_only(_arguments: Any) -> tuple[bytes, ...]:
    """For operations that need no second account's consent."""
    return ()


@dataclass(frozen=True, slots=True)
class OperationKind:
    """One operation of an application.

    name: as in `Operation.name`; arguments, result: record classes, result None when it returns nothing.
    words: what it does, for people. check(arguments) raises Refused without looking at state.
    apply(context, state, arguments) changes the state and returns a `result` or None; raises Refused.
    consents(arguments): accounts that must have signed besides the sender, named by the arguments.
    refusals: the codes that check and apply can give; the state's own (`too_large`, and `already_exists` for two keys
    of one hash) may come of any that writes.
    """

    name: str
    arguments: type[Any]
    result: type[Any] | None
    words: str
    apply: Callable[[Context, State, Any], Any]
    check: Callable[[Any], None] = _nothing_to_check
    consents: Callable[[Any], tuple[bytes, ...]] = _sender_only
    refusals: tuple[str, ...] = ()


class Application(Protocol):
    """An application, as the ledger sees it."""

    @property
    def name(self) -> str:
        """As in `Operation.app`."""
        ...

    @property
    def words(self) -> str:
        """What it is for, for people."""
        ...

    @property
    def operations(self) -> Mapping[str, OperationKind]:
        """Operations by name."""
        ...

    @property
    def spaces(self) -> tuple[Space[Any], ...]:
        """The spaces it owns; their names begin with its name and a dot."""
        ...

    @property
    def governs(self) -> bool:
        """Whether it may also write `protocol.ledger.members.GOVERNED_SPACES`."""
        ...

    def genesis(self, genesis: Genesis, state: State) -> None:
        """Write what the application's state holds at height 0."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """The applications that hold for a range of heights, by name (L-23). Raises BrokenInvariant if they clash."""

    version: int
    applications: Mapping[str, Application]
    writable: Mapping[str, frozenset[str]] = field(init=False)
    """Application to the names of its spaces."""
    spaces: Mapping[str, Space[Any]] = field(init=False)
    """All spaces by name, the ledger's own too."""
    second: Mapping[str, Space[Any]] = field(init=False)
    """Those whose records have a second key, by the name of that (`Space.also`)."""

    def __post_init__(self) -> None:
        spaces: dict[str, Space[Any]] = {space.name: space for space in (*LEDGER_SPACES, PAGES)}
        for name, application in self.applications.items():
            _check_application(name, application)
            for space in application.spaces:
                if space.name in spaces:
                    raise BrokenInvariant(f"space {space.name} is declared twice")
                spaces[space.name] = space
        second = {space.also.name: space for space in spaces.values() if space.also is not None}
        if second.keys() & spaces.keys() or len(second) != sum(space.also is not None for space in spaces.values()):
            raise BrokenInvariant(f"a second key has another's name: {sorted(second)}")
        owned = {name: frozenset(s.name for s in _writable(app)) for name, app in self.applications.items()}
        object.__setattr__(self, "writable", owned)
        object.__setattr__(self, "spaces", spaces)
        object.__setattr__(self, "second", second)


def _writable(application: Application) -> tuple[Space[Any], ...]:
    return application.spaces + (GOVERNED_SPACES if application.governs else ())


def make_rules(version: int, applications: Iterable[Application]) -> Rules:
    """Rules of these applications, in the given order (that in which they write genesis)."""
    listed = list(applications)
    names = [application.name for application in listed]
    if len(set(names)) != len(names):
        raise BrokenInvariant(f"two applications have one name: {names}")
    return Rules(version, {application.name: application for application in listed})


def read_operation(rules: Rules, operation: Operation) -> tuple[OperationKind, Any]:
    """The kind and the decoded, checked arguments of an operation; needs no state.

    Raises Refused(unknown_operation), Refused(bad_arguments), and what the application's check raises.
    The words name the field only: what the decoder adds is for people and may differ between versions.
    """
    application = rules.applications.get(operation.app)
    kind = None if application is None else application.operations.get(operation.name)
    if kind is None:
        raise Refused(UNKNOWN_OPERATION, f"{operation.app}.{operation.name} is not an operation of this network")
    try:
        arguments = decode(kind.arguments, operation.arguments)
    except Malformed as fault:
        where = f", field {fault.field}" if fault.field else ""
        words = f"{operation.app}.{operation.name}: the arguments are not a canonical {kind.arguments.__name__}{where}"
        raise Refused(BAD_ARGUMENTS, words) from fault
    kind.check(arguments)
    return kind, arguments


def apply_operation(rules: Rules, context: Context, state: State, operation: Operation) -> bytes:
    """Check, ask for consents, apply; the encoded result, empty if there is none. Raises Refused (L-8)."""
    kind, arguments = read_operation(rules, operation)
    for account in kind.consents(arguments):
        context.require_consent(account, state)
    result = kind.apply(context, state, arguments)
    if type(result) is not (kind.result or _NoneType):
        raise BrokenInvariant(f"{operation.app}.{operation.name} returned {type(result).__name__}")
    data = b"" if result is None else encode(result)
    if len(data) > limits.RESULT_BYTES_MAX:
        raise BrokenInvariant(f"{operation.app}.{operation.name} returned {len(data)} bytes")
    return data


def _check_application(name: str, application: Application) -> None:
    if name != application.name:
        raise BrokenInvariant(f"application {application.name} stands under {name}")
    for space in application.spaces:
        if not space.name.startswith(f"{name}."):
            raise BrokenInvariant(f"space {space.name} is declared by {name}: its name must begin with {name}.")
        if space.record not in KINDS.values():
            raise BrokenInvariant(f"space {space.name}: {space.record.__name__} is not a record")
    for key, kind in application.operations.items():
        if key != kind.name:
            raise BrokenInvariant(f"operation {name}.{kind.name} stands under {key}")
        unknown = [code for code in kind.refusals if code not in CODES]
        if unknown:
            raise BrokenInvariant(f"{name}.{key} refuses with codes that no table has: {unknown}")
