"""Examples in docstrings, run as they stand, against a network that really runs."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest

import daemon.client
from daemon.client import Account, AsyncClient, Client, evidence, in_words, points, proving, verify_proof
from daemon.client import local as local_module
from daemon.client.local import LocalNetwork, local_network

TERMS = points.Terms("Examples", "point", transferable=True, redeemer_consents=False, expiry=None,
                     claim_units_max=1_000, supply_max=10**6)  # fmt: skip


def examples(of: Any) -> str:
    """The indented lines of a docstring."""
    words = inspect.cleandoc(of.__doc__ or "")
    code = textwrap.dedent("\n".join(line for line in words.split("\n") if line.startswith("    ") or not line))
    assert "client" in code or "network" in code, f"no example in {of}"
    return code


@pytest.fixture
def names(papilio_network: LocalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What examples speak of."""
    monkeypatch.chdir(tmp_path)
    account = Account.create("alice.key")
    (tmp_path / "network.toml").symlink_to(papilio_network.network_file.resolve())
    return {"account": account, "evidence": evidence, "points": points, "data": b"an example", "Client": Client,
            "AsyncClient": AsyncClient, "Path": Path, "local_network": local_network}  # fmt: skip


def adapted(code: str, network: LocalNetwork) -> str:
    """With the endpoint of this run, and only one."""
    return code.replace(', "http://127.0.0.1:8101"', "").replace("http://127.0.0.1:8100", network.endpoint)


@pytest.mark.parametrize("of", [daemon.client, Client], ids=["daemon.client", "Client"])
def test_examples_of_the_client(of: Any, names: dict[str, Any], papilio_network: LocalNetwork) -> None:
    exec(adapted(examples(of), papilio_network), names)
    assert names["receipt"].ok


def test_the_example_of_the_asynchronous_client(names: dict[str, Any], papilio_network: LocalNetwork) -> None:
    body = textwrap.indent(adapted(examples(AsyncClient), papilio_network), "    ")
    exec(f"async def main():\n{body}\n    return receipt\n", names)
    assert anyio.run(names["main"], backend="asyncio").ok


def test_the_example_of_evidence(names: dict[str, Any], papilio_network: LocalNetwork) -> None:
    with papilio_network.client() as client:
        exec(examples(evidence), names | {"client": client})
        (listed,) = client.get_json(f"/v1/accounts/{names['account'].name.hex()}/transactions")["transactions"]
    assert listed["code"] == "ok"


def test_the_example_of_points(names: dict[str, Any], papilio_network: LocalNetwork) -> None:
    """A programme with the points that the example passes on."""
    issuer, holder, other = papilio_network.account, names["account"], Account.new()
    programme = points.programme_id(issuer.name, "green-travel")
    factors = points.Factors("m", 1_000, baseline_mg=1_000, actual_mg=0, points=1, grams=1)
    claim = points.claim_key(b"example")
    with papilio_network.client() as client:
        roles = points.Roles((), (), ())
        made = [points.OpenProgramme("green-travel", TERMS, roles), points.AddMethodology(programme, 1, factors, "x")]
        made += [points.RecordActivity(programme, claim, holder.name, 100, 1, 2, None)]
        grams = points.grams_avoided(factors, 100)
        made += [points.Issue(programme, claim, 1, grams, points.units_for(factors, grams))]
        assert client.transact(issuer, made).ok
        exec(examples(points), names | {"client": client, "issuer": issuer, "holder": holder, "other": other})
        held = [client.state(points.BALANCES, programme, account.name) for account in (holder, other)]
    assert held == [points.Balance(75, ()), points.Balance(25, ())]


def test_the_example_of_proofs(names: dict[str, Any], papilio_network: LocalNetwork, capsys: Any) -> None:
    with papilio_network.client() as client:
        receipt = client.transact(names["account"], [evidence.record_of(b"proven")])
        data = client.proof(receipt.transaction)
    exec(examples(proving), names | {"data": data, "in_words": in_words, "verify_proof": verify_proof})
    assert capsys.readouterr().out.startswith("RECORDED")


def test_the_example_of_a_local_network(names: dict[str, Any], tmp_path: Path) -> None:
    exec(examples(local_module).replace("/tmp/net", str(tmp_path / "net")), names)
    assert (tmp_path / "net" / "dev" / "node.toml").exists()
