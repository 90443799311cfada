"""The client library: what applications import to sign, submit, wait, prove and follow.

In short:

    from daemon.client import Account, Client, evidence

    with Client("http://127.0.0.1:8100") as client:
        receipt = client.transact(Account.read("alice.key"), [evidence.record_of(b"a document")])

`Client` blocks; `AsyncClient` is the same for Trio and asyncio. Ten minutes with it: README.md beside this file.

Reading order: conversation (how it decides without I/O), endpoints, asking, submission (how a transaction acts once and
its outcome is told truly), following, core; then synchronous and asynchronous, which only do what core says; account,
sealing, views, proving; evidence and points (short names of the applications' operations); local and pytest_plugin (a
network of one, for developing and testing).

May import: `protocol`, `daemon.config` (late, for key and network files), `daemon.limits`. Nothing of a node: a client
runs where no node does.
"""

from daemon.client import evidence, points
from daemon.client.account import Account
from daemon.client.asynchronous import AsyncClient, AsyncEvents
from daemon.client.errors import (
    ClientError,
    NodeRefused,
    OutcomeUnknown,
    TransactionError,
    TransactionExpired,
    TransactionFailed,
    TransactionRefused,
    Unreachable,
    WrongNetwork,
)
from daemon.client.proving import in_words, verify_proof
from daemon.client.sealing import Sealed
from daemon.client.synchronous import Client, Events
from daemon.client.views import BlockView, Event, NetworkView, Outcome, Receipt, Stage

__all__ = [
    "Account",
    "AsyncClient",
    "AsyncEvents",
    "BlockView",
    "Client",
    "ClientError",
    "Event",
    "Events",
    "NetworkView",
    "NodeRefused",
    "Outcome",
    "OutcomeUnknown",
    "Receipt",
    "Sealed",
    "Stage",
    "TransactionError",
    "TransactionExpired",
    "TransactionFailed",
    "TransactionRefused",
    "Unreachable",
    "WrongNetwork",
    "evidence",
    "in_words",
    "points",
    "verify_proof",
]
