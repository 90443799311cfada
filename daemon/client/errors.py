"""What the client library raises. Every error has a `code` of the one table (`protocol.errors.CODES`) and `words`.

    ClientError
    ├── Unreachable          no endpoint gave an answer in time; nothing is known to have happened
    ├── NodeRefused          a node refused the request itself; says whether to retry
    ├── WrongNetwork         every endpoint belongs to another network than the client is for
    └── TransactionError     about one transaction, named by `transaction`
        ├── TransactionRefused   no node holds it: nothing happened, and nothing will unless it is sent again
        ├── TransactionFailed    final, and refused by the ledger: changed nothing; has the receipt
        ├── TransactionExpired   not final, and cannot become final any more: nothing happened
        └── OutcomeUnknown       not known yet, it may be final: ask on with `sealed`; sending it again is safe

A time-out of a request is none of these by itself (L-9): the client asks on, at other endpoints, until it knows or
until the time that it was given is over; only then it raises `Unreachable` or `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from protocol.errors import CODES, EXPIRED, OUTCOME_UNKNOWN, UNREACHABLE, WRONG_NETWORK, PapilioError, Retry

if TYPE_CHECKING:
    from daemon.client.sealing import Sealed
    from daemon.client.views import Receipt


class ClientError(PapilioError):
    """Base of what the client library raises."""

    @property
    def retry(self) -> Retry:
        """What the one refused can do; *later* for a code that this program does not know."""
        known = CODES.get(self.code)
        return Retry.LATER if known is None else known.retry


class Unreachable(ClientError):
    """No endpoint gave a usable answer. attempts: endpoint to what was last wrong with it, in words."""

    code = UNREACHABLE

    def __init__(self, attempts: dict[str, str]) -> None:
        listed = "; ".join(f"{endpoint}: {words}" for endpoint, words in attempts.items())
        super().__init__(f"no node answered in time ({listed or 'none was tried'})")
        self.attempts = attempts


class NodeRefused(ClientError):
    """A node refused a request.

    status: of HTTP. endpoint: who said so. retry_after_seconds: how long it asked to wait, if it did. facts: the whole
    problem, as it was sent.
    """

    def __init__(
        self,
        code: str,
        words: str,
        *,
        status: int,
        endpoint: str,
        retry_after_seconds: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(words, code=code)
        self.status = status
        self.endpoint = endpoint
        self.retry_after_seconds = retry_after_seconds
        self.facts = {} if facts is None else dict(facts)


class WrongNetwork(ClientError):
    """Every endpoint belongs to another network than the one insisted on, or, without one, than the first found."""

    code = WRONG_NETWORK


class TransactionError(ClientError):
    """About one transaction: `transaction` is its id (32 bytes)."""

    def __init__(self, transaction: bytes, words: str, *, code: str | None = None) -> None:
        super().__init__(words, code=code)
        self.transaction = transaction


class TransactionRefused(TransactionError):
    """A node refused it, and no node can hold it: nothing happened, and nothing will unless it is sent again.

    Of an envelope that a node may hold from before (an earlier `send`, one that was cancelled) or that was read from a
    file this is raised only if its bytes are void (a bad signature), which is so everywhere. Any other refusal of it is
    no outcome: the client asks on, until `TransactionExpired` or `OutcomeUnknown` if there is no receipt.
    """


class TransactionFailed(TransactionError):
    """It is final, and the ledger refused it: nothing changed. `receipt` says which operation, and why."""

    def __init__(self, receipt: Receipt) -> None:
        where = "" if receipt.operation is None else f"operation {receipt.operation}: "
        super().__init__(receipt.transaction, f"{where}{receipt.words or receipt.code}", code=receipt.code)
        self.receipt = receipt


class TransactionExpired(TransactionError):
    """It can't become final any more; nothing happened. refusal: what a node said of it meanwhile, if any did."""

    code = EXPIRED

    def __init__(self, transaction: bytes, refusal: tuple[str, str] | None = None) -> None:
        why = "" if refusal is None else f"; a node had refused it: {refusal[0]}: {refusal[1]}"
        super().__init__(transaction, f"its time is over and it is not on the ledger: nothing happened{why}")
        self.refusal = refusal


class OutcomeUnknown(TransactionError):
    """The time to wait is over and no node gave an outcome. It may be final, or become so until its validity ends.

    So do not sign the same anew. Where the words name a refusal, it is one node's; another may hold a copy.
    sealed: to ask on (`client.send(error.sealed)`), which sends the same envelope again and never acts twice.
    """

    code = OUTCOME_UNKNOWN

    def __init__(self, sealed: Sealed, words: str) -> None:
        super().__init__(sealed.transaction, f"the outcome is not known yet ({words}); sending it again is safe")
        self.sealed = sealed
