"""Succession: the genesis of a network that goes on from the last kept block of another (L-4, decision 0014).

A network that has lost a quorum of its voting power for good can't go on under its own rules. Its members restart it: a
new network begins where the old one ended. Its genesis is a `Succession`: all that a genesis says, and besides

* `ancestors`: every network before it, the oldest first, each with the last block that was kept of it, the results
  there, and the digest of the restart document by which the next one followed;
* `members`: with their accounts, which are the old ones: keys may have been replaced since they were named;
* `begins`: the results that the new network begins with. Height and log are the last ancestor's; the state is its state
  but for who takes part.

Its hash is the new network's id, which so commits to the old network and to the document that the members signed.

Heights go on: the first block stands at `begins.height + 1`, its parent is the new network's id. The log of receipts
goes on, so headers of the new network cover receipts of the old ones as well; `home_of` says whose a receipt is.
Epochs and views begin anew.

Deliberately absent: how a document is made, judged and signed (`protocol.restart`); where the state comes from.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from protocol import limits
from protocol.codec import Hash, Items, decode, kind_of, record, structure
from protocol.errors import OperatorFault
from protocol.ledger.genesis import Genesis, KeptMember, check_genesis, network_id
from protocol.ledger.records import Executed

SUCCESSION_KIND = 19


@structure
class Ancestor:
    """A network that came before: its last kept block, the results there, and what it was followed by.

    header: hash of the header at `executed.height`. document: digest of the restart document.
    """

    network_id: Hash
    header: Hash
    executed: Executed
    document: Hash


@record(kind=SUCCESSION_KIND)
class Succession(Genesis):
    """See the essay. `ancestors` ascend by height and log size."""

    members: Annotated[tuple[KeptMember, ...], Items(1, limits.MEMBERS_MAX)]
    ancestors: Annotated[tuple[Ancestor, ...], Items(1, limits.ANCESTORS_MAX)]
    begins: Executed


def decode_genesis(data: bytes) -> Genesis:
    """The checked genesis or succession in `data`. Raises Malformed or OperatorFault."""
    genesis = decode(Succession if kind_of(data) == SUCCESSION_KIND else Genesis, data)
    check_genesis(genesis)
    if isinstance(genesis, Succession):
        check_succession(genesis)
    return genesis


def check_succession(genesis: Succession) -> None:
    """Raises OperatorFault with all that is wrong beyond what `check_genesis` looks at."""
    wrong = succession_faults(genesis)
    if wrong:
        raise OperatorFault("genesis: " + "; ".join(wrong))


def succession_faults(genesis: Succession) -> list[str]:
    """What is wrong, one sentence each."""
    last, begins = genesis.ancestors[-1].executed, genesis.begins
    results = [ancestor.executed for ancestor in genesis.ancestors]
    checks = (
        (
            all(low.height < high.height and low.log_size <= high.log_size for low, high in pairwise(results)),
            "ancestors must ascend by height, and their logs must not shrink",
        ),
        (last.height >= 1, "an ancestor has at least one block"),
        (
            (last.height, last.log_size, last.log_root) == (begins.height, begins.log_size, begins.log_root),
            "the network begins at the height and with the log of its last ancestor",
        ),
        (len({a.network_id for a in genesis.ancestors}) == len(genesis.ancestors), "each ancestor once"),
    )
    return [words for holds, words in checks if not holds]


def beginning_height(genesis: Genesis) -> int:
    """The height that the network begins at: its first block stands one above."""
    return genesis.begins.height if isinstance(genesis, Succession) else 0


def ancestors_of(genesis: Genesis) -> tuple[Ancestor, ...]:
    """The networks before this one, the oldest first."""
    return genesis.ancestors if isinstance(genesis, Succession) else ()


def home_at(genesis: Genesis, height: int) -> bytes:
    """Id of the network that the block of this height belongs to: this one, or an ancestor."""
    for ancestor in ancestors_of(genesis):
        if height <= ancestor.executed.height:
            return ancestor.network_id
    return network_id(genesis)


def home_of(genesis: Genesis, log_index: int) -> bytes:
    """Id of the network that a receipt at this place of the log was recorded in: this one, or an ancestor."""
    for ancestor in ancestors_of(genesis):
        if log_index < ancestor.executed.log_size:
            return ancestor.network_id
    return network_id(genesis)
