"""The clients against a network of one that really runs: the fixture of the plugin, as an application uses it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from daemon.client import (
    Account,
    AsyncClient,
    ClientError,
    Event,
    NodeRefused,
    Receipt,
    Sealed,
    Stage,
    TransactionFailed,
    TransactionRefused,
    evidence,
    points,
    verify_proof,
)
from daemon.client.local import LocalNetwork, StartFailed, local_network
from daemon.client.proving import in_words
from protocol.apps.accounts import SetKeys
from protocol.apps.points.records import ProgrammeOpened
from protocol.codec import encode
from protocol.ledger.accounts import ACCOUNTS
from protocol.proofs.finality import ProofRefused
from protocol.proofs.verify import VerifiedReceipt, VerifiedState

TERMS = points.Terms("Green travel", "point", transferable=True, redeemer_consents=False, expiry=None,
                     claim_units_max=1_000, supply_max=10**6)  # fmt: skip
PATIENCE_SECONDS = 30


def test_record_read_and_prove(papilio_network: LocalNetwork, papilio_account: Account) -> None:
    operation = evidence.record_of(b"the document", step="shipping")
    with papilio_network.client() as client:
        receipt = client.transact(papilio_account, [operation])
        assert receipt.ok
        assert receipt.results == (None,)
        found = client.state(evidence.RECORDS, papilio_account.name, operation.id)
        assert found is not None
        assert found.digest == operation.statement.digest
        assert found.recorded.transaction == receipt.transaction
        assert client.state(evidence.RECORDS, papilio_account.name, bytes(16)) is None
        by_digest = client.find(evidence.RECORDS, evidence.SHA256, found.digest, papilio_account.name)
        assert by_digest == ((papilio_account.name, operation.id), found)
        assert client.find(evidence.RECORDS, evidence.SHA256, bytes(32), papilio_account.name) is None
        assert client.block(receipt.height).transactions == (receipt.transaction,)
        proof = client.proof(receipt.transaction)
        record = client.state_proof(evidence.RECORDS, papilio_account.name, operation.id)
        current = client.state_proof(evidence.ENDS, papilio_account.name, operation.id)
        with pytest.raises(NodeRefused) as unproven:
            client.state_proof(evidence.RECORDS, papilio_account.name, bytes(16))
        assert unproven.value.code == "not_found"
    proven = verify_proof(papilio_network.network_file, proof)
    assert isinstance(proven, VerifiedReceipt)
    assert proven.receipt.transaction == receipt.transaction
    assert in_words(proven).startswith("RECORDED")
    shown = verify_proof(str(papilio_network.network_file), record)
    assert isinstance(shown, VerifiedState)
    assert shown.value == encode(found), "it lies in a page, and is what the proof is of"
    absent = verify_proof(str(papilio_network.network_file), current)
    assert isinstance(absent, VerifiedState)
    assert absent.value is None
    with pytest.raises(ProofRefused):
        verify_proof(papilio_network.network_file, proof[:-1] + bytes([proof[-1] ^ 1]))


def test_results_are_records(papilio_network: LocalNetwork) -> None:
    """Only a member opens programmes: the network's account is one."""
    issuer = papilio_network.account
    with papilio_network.client() as client:
        opened = client.transact(issuer, [points.OpenProgramme("fixture", TERMS, points.Roles((), (), ()))])
        assert opened.results == (ProgrammeOpened(points.programme_id(issuer.name, "fixture")),)


def test_a_refusal_by_the_ledger(papilio_network: LocalNetwork, papilio_account: Account) -> None:
    """L-8: it is final, changed nothing, and says which operation and why."""
    good, bad = evidence.record_of(b"good"), evidence.revoke(bytes(16))
    with papilio_network.client() as client:
        with pytest.raises(TransactionFailed) as raised:
            client.transact(papilio_account, [good, bad])
        assert (raised.value.code, raised.value.receipt.operation) == ("not_found", 1)
        assert client.state(evidence.RECORDS, papilio_account.name, good.id) is None
        assert client.outcome(raised.value.transaction).receipt == raised.value.receipt


def test_the_same_envelope_again_gives_the_first_receipt(
    papilio_network: LocalNetwork, papilio_account: Account
) -> None:
    """L-7; and the same id with other content is a conflict."""
    with papilio_network.client() as client:
        sealed = client.prepare(papilio_account, [evidence.record_of(b"once")])
        first = client.send(sealed)
        assert client.send(Sealed.read(sealed.data, papilio_network.network_id)) == first
        outcomes = [client.outcome(of) for of in (sealed, sealed.transaction)]
        assert [outcome.stage for outcome in outcomes] == [Stage.FINAL] * 2
        assert client.outcome(bytes(32)).stage is Stage.NOT_SEEN
        assert client.wait(bytes(32), timeout_seconds=0.3).stage is Stage.NOT_SEEN


def test_what_may_not_act_is_refused_before_the_ledger(papilio_network: LocalNetwork, papilio_account: Account) -> None:
    impostor = Account(Account.new().keys, name=papilio_account.name)
    with papilio_network.client() as client, pytest.raises(TransactionRefused) as raised:
        client.transact(impostor, [evidence.record_of(b"not mine")])
    assert raised.value.code == "not_authorised"


def test_two_of_three_keys(papilio_network: LocalNetwork, papilio_account: Account) -> None:
    """L-6: the keys change, the name stays."""
    keys = [key for _ in range(3) for key in Account.new().keys]
    public = tuple(sorted(key.public for key in keys))
    board = Account(keys[:2], name=papilio_account.name)
    with papilio_network.client() as client:
        client.transact(papilio_account, [SetKeys(public, 2)])
        found = client.state(ACCOUNTS, papilio_account.name)
        assert found is not None
        assert found.keys == public
        with pytest.raises(TransactionRefused, match="may not act"):
            client.transact(papilio_account, [evidence.record_of(b"with the old key")])
        assert client.transact(board, [evidence.record_of(b"with two of three")]).ok


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_many_and_their_events(papilio_network: LocalNetwork, papilio_account: Account, backend: str) -> None:
    """Every receipt is an event at its place in the log, once, in order; the same from any position on."""

    async def main() -> tuple[list[Receipt], list[Event], list[Event]]:
        async with papilio_network.async_client() as client:
            after = await client.position()
            documents = [f"{backend} {number}".encode() for number in range(30)]
            sealed = [await client.prepare(papilio_account, [evidence.record_of(data)]) for data in documents]
            receipts = [result for result in await client.send_all(sealed) if isinstance(result, Receipt)]
            async with client.events(after) as events:
                seen = [await anext(events) for _ in receipts]
                assert events.position == seen[-1].position
            async with client.events(seen[9].position, account=papilio_account.name, app="evidence") as events:
                return receipts, seen, [await anext(events) for _ in receipts[10:]]

    receipts, seen, rest = anyio.run(main, backend=backend)
    assert all(receipt.ok for receipt in receipts)
    assert len({receipt.transaction for receipt in receipts}) == 30
    assert {event.position: event.transaction for event in seen} == {r.log_index: r.transaction for r in receipts}
    assert [event.position for event in seen] == sorted(event.position for event in seen)
    assert rest == seen[10:]


async def test_under_trio_itself(papilio_network: LocalNetwork, papilio_account: Account) -> None:
    async with AsyncClient(papilio_network.endpoint, network_id=papilio_network.network_id) as client:
        assert (await client.transact(papilio_account, [evidence.record_of(b"from a trio test")])).ok
        network = await client.network()
        assert (network.name, network.network_id) == ("dev", papilio_network.network_id)
        assert (await client.node())["member"] == "dev"
        assert {app["name"] for app in (await client.apps())["applications"]} >= {"evidence", "points"}
        with pytest.raises(NodeRefused, match="block"):
            await client.block(10**9)


def test_a_node_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    """The client asks on over the death of the only node, and the outcome is the ledger's; the directory goes on."""
    alice = Account.new()
    with local_network(tmp_path / "net") as network, network.client() as client:
        before = client.transact(alice, [evidence.record_of(b"before")])
        sealed = client.prepare(alice, [evidence.record_of(b"meanwhile")])
        os.kill(network.process.pid, signal.SIGKILL)
        network.process.wait()
        with pytest.raises(ClientError) as raised:
            client.send(sealed, timeout_seconds=0.5)
        assert raised.value.code in ("unreachable", "outcome_unknown")
    with local_network(tmp_path / "net") as network, network.client() as client:
        assert client.outcome(before.transaction).receipt == before
        assert client.send(sealed).ok


def test_a_node_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        local_network(tmp_path / "net"),
        pytest.raises(StartFailed, match="exit code 75"),
        local_network(tmp_path / "net"),
    ):
        raise AssertionError("two nodes on one directory (L-27)")


def test_nothing_is_left_behind_when_the_owner_is_killed(tmp_path: Path) -> None:
    """However who started it ends, the node ends, too: it holds the other end of a pipe."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom daemon.client.local import local_network\n"
        "with local_network(Path(sys.argv[1])) as network:\n"
        "    print(network.process.pid, flush=True)\n    sys.stdin.read()\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "net")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    with owner:
        assert owner.stdout is not None
        node = os.pidfd_open(int(owner.stdout.readline()))
        owner.kill()
    try:
        assert select.select([node], [], [], PATIENCE_SECONDS)[0], "the node has ended"
    finally:
        os.close(node)
