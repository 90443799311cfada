"""Members change who votes, real processes under load: one joins, one leaves, one replaces its key (C-21 to C-23)."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from daemon.client import Client, ClientError
from daemon.client.account import Account
from daemon.config.keyfiles import load_key
from daemon.config.texts import ACCOUNT, PUBLIC_KEY
from protocol.ledger.records import account_name
from tests.system.network import Network, free_ports
from tests.system.processes import NodeProcess, papilio, papilio_done, until

CONFIGURATION = 78


class Council:
    """The members at their command lines."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.proposals = 0

    def key(self, node: NodeProcess) -> Path:
        return node.directory / "keys" / "account.key"

    def run(self, node: NodeProcess, *arguments: object) -> Any:
        said = papilio_done("members", *arguments, "--node", node.url, "--key", self.key(node), "--json")
        return json.loads(said)

    def decide(self, *changes: object, ready: tuple[NodeProcess, Path] | None = None) -> None:
        """Propose, approve by four, say ready, execute."""
        proposer, *others = self.network.nodes[:4]
        self.run(proposer, "propose", *changes, "--note", "as agreed")
        self.proposals += 1
        for node in others:
            arguments = {"proposal": self.proposals}
            with Client(node.url) as client:
                account = Account.read(self.key(node))
                client.transact(account, [{"app": "members", "name": "approve", "arguments": arguments}])
        if ready is not None:
            node, file = ready
            papilio_done("members", "ready", self.proposals, "--voting-key", file, "--node", node.url)
        self.run(proposer, "execute", self.proposals)


@contextmanager
def load(urls: list[str]) -> Iterator[list[bytes]]:
    """Record documents, one after the other, until the block is left; transactions that became final."""
    final: list[bytes] = []
    stop = threading.Event()

    def work() -> None:
        account = Account.new()
        with Client(*urls) as client:
            while not stop.is_set():
                digest = sha256(str(time.time_ns()).encode()).hexdigest()
                statement = {"algorithm": 1, "digest": digest, "size": 1, "media_type": "text/plain", "type": "note"}
                rest = {"step": "", "reference": "", "event_time_ms": None}
                arguments = {"owner": None, "id": digest[:32], "statement": {**statement, **rest}}
                operation = {"app": "evidence", "name": "record", "arguments": arguments}
                time.sleep(0.1)
                try:
                    final.append(client.transact(account, [operation], timeout_seconds=30).transaction)
                except ClientError:
                    continue

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield final
    finally:
        stop.set()
        thread.join()


async def epoch(node: NodeProcess, wanted: int) -> None:
    async def look() -> bool:
        node.check()
        return bool(((await node.status()) or {}).get("epoch", 0) >= wanted)

    await until(look, f"{node.member} in epoch {wanted}")


def public(file: Path) -> str:
    return PUBLIC_KEY.format(load_key(str(file), None, Path()).key.public)


@pytest.mark.long
async def test_one_joins_one_leaves_one_replaces_its_key_under_load(
    networks: Callable[..., Network], tmp_path: Path
) -> None:
    network = networks(4)
    await network.start()
    bank, port, farm, shop = network.nodes
    council = Council(network)
    document = tmp_path / "report.pdf"
    document.write_bytes(b"%PDF-1.7 a report")
    sign = ("--key", council.key(bank), "--node", bank.url, "--json")
    old = json.loads(papilio_done("submit", "evidence", "record", "--digest-of", document, *sign))["transaction"]

    with load([bank.url, port.url]) as final:
        # A fifth member's node follows first, then votes.
        host = bank.peers.rpartition(":")[0]
        ports = free_ports(2, host)
        directory = tmp_path / "fifth"
        places = ("--address", f"{host}:{ports[0]}", "--api", f"{host}:{ports[1]}")
        papilio_done("node", "create", directory, "--member", "fifth", *places)
        papilio_done("node", "join", directory, network.file)
        fifth = NodeProcess("fifth", directory, f"{host}:{ports[0]}", f"http://{host}:{ports[1]}")
        network.nodes.append(fifth)
        node_key, voting_key = public(directory / "keys" / "node.key"), public(directory / "keys" / "voting.key")
        account = account_name(load_key(str(directory / "keys" / "account.key"), None, Path()).key.public)
        joins = ("--add-member", "fifth", ACCOUNT.format(account), 2**40, "--add-node", "fifth", node_key)
        council.decide(*joins)
        fifth.start()
        await fifth.ready()
        votes = ("--add-validator", "fifth", node_key, voting_key, 1)
        council.decide(*votes, ready=(fifth, directory / "keys" / "voting.key"))
        for node in network.nodes:
            await epoch(node, 2)
        assert (await fifth.status() or {})["voting"]

        # A change that leaves too few who are up is refused with words.
        network.nodes.remove(shop)
        await shop.stop()
        leave = [("--remove-validator", public(node.directory / "keys" / "voting.key")) for node in (port, farm)]
        council.run(bank, "propose", *leave[0], *leave[1], "--note", "too many")
        council.proposals += 1
        refused = papilio("members", "execute", council.proposals, "--node", bank.url, "--key", council.key(bank))
        assert refused.returncode == CONFIGURATION, refused.stderr
        assert "would stop until they are back" in refused.stderr
        shop.start()
        await shop.ready()

        # One leaves: the others let it in no more.
        council.decide("--remove-validator", public(shop.directory / "keys" / "voting.key"))
        for node in network.nodes:
            await epoch(node, 3)
        gone = load_key(str(shop.directory / "keys" / "node.key"), None, Path()).key.public.hex()

        async def disconnected() -> bool:
            return gone not in [peer["node_key"] for peer in ((await bank.status()) or {"peers": []})["peers"]]

        await until(disconnected, "the node of who left is not connected any more")

        # One replaces its key, without a restart, and the old one is gone from its disk.
        file = bank.directory / "keys" / "voting.key"
        before = public(file)
        made = json.loads(papilio_done("key", "rotate", bank.directory / "node.toml", "--json"))["public"]
        council.decide("--rotate", before, made, ready=(bank, file.with_name("voting.key.next")))
        for node in network.nodes:
            await epoch(node, 4)
        assert (await bank.status() or {})["voting"]
        assert public(file) == made
        assert not file.with_name("voting.key.next").exists()

    assert final, "the load went through"
    document.write_bytes(b"%PDF-1.7 another report")
    new = json.loads(papilio_done("submit", "evidence", "record", "--digest-of", document, *sign))["transaction"]
    for name, transaction in (("old.proof", old), ("new.proof", new)):
        papilio_done("proof", "get", transaction, "--out", tmp_path / name, "--node", fifth.url)
    # After a restart everyone knows again in which epoch it is.
    await fifth.stop()
    fifth.start()
    await fifth.ready()
    await network.stop()
    await shop.stop()
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    for file in (network.file, tmp_path / "old.proof", tmp_path / "new.proof"):
        shutil.copy(file, stranger)
    for name in ("old.proof", "new.proof"):
        papilio_done("proof", "verify", name, "--network", "network.toml", cwd=stranger)
    await network.same_history()


@pytest.mark.long
async def test_a_node_key_is_replaced_under_load(networks: Callable[..., Network], tmp_path: Path) -> None:
    """From A to Z as the handbook says it; others restart meanwhile, and who has the old key gets in nowhere."""
    network = networks(4)
    await network.start()
    bank, port, farm, shop = network.nodes
    council = Council(network)
    settings, file = bank.directory / "node.toml", bank.directory / "keys" / "node.key"
    before = public(file)
    stolen = tmp_path / "node.key"
    shutil.copy(file, stolen)
    asked = ("--node", port.url)

    with load([port.url, farm.url]) as final:
        made = json.loads(papilio_done("key", "rotate", settings, "--purpose", "node", "--json"))
        early = papilio("key", "take-up", settings, *asked)
        assert (early.returncode, public(file)) == (1, before), early.stderr
        assert "have not put" in early.stderr
        council.decide("--rotate-node", before, made["public"])
        papilio_done("key", "take-up", settings, *asked)
        assert public(file) == made["public"]
        await bank.stop()
        await network.start([bank])
        await _votes_among(bank, 3)

        # Others that restart have its old key beside its address; it dials them with the new one.
        await farm.kill()
        await shop.stop()
        await network.start([farm, shop])
        for node in network.nodes:
            await _votes_among(node, 3)

        # Whoever has the old key is let in by nobody.
        await bank.stop()
        kept = tmp_path / "kept.key"
        shutil.copy(file, kept)
        shutil.copy(stolen, file)
        await network.start([bank])
        refused = await bank.logged("dial_failed")
        assert refused["code"] == "unknown_peer", refused
        assert not (await bank.status() or {"peers": [1]})["peers"]
        await bank.stop()
        shutil.copy(kept, file)
        await network.start([bank])
        await _votes_among(bank, 3)

    assert final, "the load went through"
    await network.same_roots()
    assert [node.member for node in network.nodes if node.events("equivocation")] == []
    assert not bank.events("amnesiac"), "the journal stayed its own"
    await network.stop()
    await network.same_history()


async def _votes_among(node: NodeProcess, peers: int) -> None:
    async def look() -> bool:
        node.check()
        status = await node.status() or {"voting": False, "peers": []}
        return bool(status["voting"]) and len(status["peers"]) == peers

    await until(look, lambda: f"{node.member} votes among {peers}\n{node.tail()}")
