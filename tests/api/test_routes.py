"""Every other route, as a client sees it; every answer is held against OpenAPI by `serving.Api.ask`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from daemon.api import connection
from daemon.api.messages import REASONS
from daemon.api.problems import STATUS
from daemon.api.table import table
from protocol.apps.evidence.records import EVIDENCE
from protocol.codec import encode
from protocol.ledger.added import newest, opened, record_at, unpack_place
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.genesis import member_account
from protocol.ledger.index import BASE_KEY, Base, pack_base
from protocol.ledger.members import MEMBERS
from protocol.ledger.records import account_name, header_hash
from protocol.ledger.tables import NAMES, Table
from protocol.proofs.verify import verify_state_proof
from tests.api.serving import DOCUMENT, operation_of, serving
from tests.ledger.world import key

MINE = account_name(key(1).public).hex()


async def test_blocks(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.problem("not_found", 404, "GET", "/v1/blocks/latest")
        assert (await api.get("/v1/blocks")).json() == {"blocks": [], "latest": 0}
        envelopes = api.node.envelopes(1, 3)
        api.node.make_block(envelopes)
        api.node.make_block([])
        block = (await api.get("/v1/blocks/1")).json()
        assert block["hash"] == header_hash(api.node.world.headers[0]).hex()
        assert (block["height"], len(block["transactions"]), block["log_size"]) == (1, 3, 3)
        assert block["finalization"] == {"view": 9, "signers": 3}
        assert block["state_root"] == api.node.world.executed[1].state_root.hex()
        assert (await api.get("/v1/blocks/latest")).json() == (await api.get("/v1/blocks/2")).json()
        listed = (await api.get("/v1/blocks?from=2&limit=5")).json()
        assert [found["height"] for found in listed["blocks"]] == [2]
        assert [found["transactions"] for found in (await api.get("/v1/blocks")).json()["blocks"]] == [3, 0]
        await api.problem("not_found", 404, "GET", "/v1/blocks/3")
        api.node.damaged.add(1)
        await api.problem("segment_damaged", 503, "GET", "/v1/blocks/1")


async def test_encoded_blocks_and_the_scrub(tmp_path: Path) -> None:
    """What another node's `papilio store repair --from` is given, and what `papilio store scrub --node` asks."""
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 2))
        answer = await api.get("/v1/blocks/1/encoded")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.content == api.node.service.block(1)
        await api.problem("not_found", 404, "GET", "/v1/blocks/2/encoded")
        api.node.damaged.add(1)
        await api.problem("segment_damaged", 503, "GET", "/v1/blocks/1/encoded")
        assert (await api.get("/v1/node/store")).json()["passes"] == 0
        assert (await api.ask("POST", "/v1/node/scrub")).json()["passes"] == 1


async def test_accounts(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 5))
        fresh = (await api.get(f"/v1/accounts/{MINE}")).json()
        assert (fresh["keys"], fresh["threshold"], fresh["member"]) == (None, 1, None)
        member = member_account(api.node.world.genesis.members[0]).hex()
        known = (await api.get(f"/v1/accounts/{member}")).json()
        assert (known["keys"], known["member"]) == ([key(100).public.hex()], "m0")
        path = f"/v1/accounts/{MINE}/transactions"
        first = (await api.get(f"{path}?limit=3")).json()
        assert ([found["log_index"] for found in first["transactions"]], first["next_after"]) == ([0, 1, 2], 2)
        rest = (await api.get(f"{path}?limit=3&after=2")).json()
        assert ([found["log_index"] for found in rest["transactions"]], rest["next_after"]) == ([3, 4], None)
        assert (await api.get(f"/v1/accounts/{member}/transactions")).json()["transactions"] == []


async def test_an_account_of_a_node_that_joined_by_a_snapshot(tmp_path: Path) -> None:
    """It says from where on it lists transactions; one with the whole history says 1."""
    async with serving(tmp_path) as api:
        for block in range(3):
            api.node.make_block(api.node.envelopes(block, 1))
        path = f"/v1/accounts/{MINE}/transactions"
        assert (await api.get(path)).json()["from_height"] == 1
        base = Base(height=3, first_height=2, first_log_index=1, below=bytes(32))
        api.node.store.commit([{(Table.META, BASE_KEY): pack_base(base)}], 3)
        assert (await api.get(path)).json()["from_height"] == 2


async def test_what_is_pruned_is_answered_so_where_that_is_described(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        envelopes = api.node.envelopes(1, 1)
        api.node.make_block(envelopes)
        api.node.make_block([])
        api.node.first_height = 3
        name = parse_envelope(envelopes[0], api.node.world.network_id).transaction.hex()
        for path in (
            *("/v1/blocks?from=1", "/v1/blocks/1", "/v1/blocks/1/encoded", f"/v1/transactions/{name}/proof"),
            *("/v1/events", "/v1/blocks/latest"),  # of a node whose snapshot nothing has followed yet
        ):
            response = await api.get(path)
            assert (response.status_code, response.json()["code"]) == (410, "pruned"), path
            described = operation_of(response.request)
            assert described is not None
            assert "410" in described["responses"], path


async def test_applications_and_state(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        described = (await api.get("/v1/apps")).json()
        assert [app["name"] for app in described["applications"]] == ["accounts", "evidence", "points"]
        one = (await api.get("/v1/apps/evidence")).json()
        assert one["operations"] == described["applications"][1]["operations"]
        await api.problem("not_found", 404, "GET", "/v1/apps/nothing")
        found = (await api.get("/v1/state/ledger.member?key=m0")).json()
        assert (found["space"], found["key"], found["height"]) == ("ledger.member", {"member": "m0"}, 0)
        assert found["value"]["account"] == member_account(api.node.world.genesis.members[0]).hex()
        absent = await api.problem("not_found", 404, "GET", "/v1/state/ledger.member?key=m9")
        assert absent["height"] == 0
        await api.problem("not_found", 404, "GET", "/v1/state/no.such?key=m0")
        await api.problem("bad_request", 400, "GET", "/v1/state/ledger.member")
        await api.problem("bad_request", 400, "GET", "/v1/state/ledger.validator?key=XY")
        await api.problem("too_large", 413, "GET", f"/v1/state/ledger.member?key={'m' * 600}")


async def test_records_that_are_only_ever_added(tmp_path: Path) -> None:
    """L-20: by either key; proven by their page, and never their absence."""
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 2))
        api.node.make_block([])
        with api.node.store.reader() as reader:
            ((row, _), *_) = reader.scan(Table.PLACE, b"", limit=1)
            record = record_at(newest(reader), unpack_place(NAMES[Table.PLACE].split(row)[1]))
        assert record is not None
        found_here = opened(EVIDENCE, record)
        assert found_here is not None
        (owner, identifier), evidence = found_here
        assert isinstance(owner, bytes)
        assert isinstance(identifier, bytes)
        path = f"/v1/state/evidence.record?key={owner.hex()}&key={identifier.hex()}"
        found = (await api.get(path)).json()
        assert found["value"]["digest"] == evidence.digest.hex()
        second = f"/v1/state/evidence.digest?key={evidence.algorithm}&key={evidence.digest.hex()}&key={owner.hex()}"
        assert (await api.get(second)).json() == found, "the record, by the document's digest"
        for given in (path, second):
            proof = (await api.get(given.replace("?", "/proof?"))).content
            shown = verify_state_proof(encode(api.node.world.genesis), proof)
            assert (shown.key, shown.value) == (record.key, record.value)
        for none in (path.replace(identifier.hex(), "00" * 16), second.replace(evidence.digest.hex(), "00" * 32)):
            await api.problem("not_found", 404, "GET", none)
            await api.problem("not_found", 404, "GET", none.replace("?", "/proof?"))
        await api.problem("bad_request", 400, "GET", second + "&key=00")


@pytest.mark.parametrize("name,present", [("m0", True), ("m9", False)])
async def test_state_proofs(tmp_path: Path, name: str, present: bool) -> None:
    """L-20: presence and absence, verified offline with genesis alone."""
    async with serving(tmp_path) as api:
        path = f"/v1/state/ledger.member/proof?key={name}"
        await api.problem("not_covered", 409, "GET", path)
        api.node.make_block(api.node.envelopes(1, 2))
        api.node.make_block([])
        proof = (await api.get(path)).content
        shown = verify_state_proof(encode(api.node.world.genesis), proof)
        assert shown.key == MEMBERS.key((name,))
        assert (shown.value is not None) is present
        headers = {"content-type": "application/vnd.papilio.proof"}
        told = (await api.ask("POST", "/v1/proofs/verify", content=proof, headers=headers)).json()
        assert (told["verified"], told["kind"], told["space"]) == (True, "state", "ledger.member")
        assert (told["value"] is not None) is present


async def test_network_and_node(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        network = (await api.get("/v1/network")).json()
        assert network["network_id"] == api.node.world.network_id.hex()
        assert bytes.fromhex(network["genesis"]) == encode(api.node.world.genesis)
        assert (network["total_power"], network["quorum_power"], len(network["validators"])) == (4, 3, 4)
        api.node.make_block(api.node.envelopes(1, 1))
        node = (await api.get("/v1/node")).json()
        assert (node["final_height"], node["executed_height"], node["log_size"], node["ready"]) == (1, 1, 1, True)
        assert (node["member"], node["node_key"]) == ("m0", key(200).public.hex())


async def test_health(tmp_path: Path) -> None:
    """Live as long as it answers; ready unless behind, full, or stopping."""
    async with serving(tmp_path) as api:
        assert (await api.get("/v1/health/ready")).json() == {"status": "ready"}
        for field, value in (("syncing_to_height", 50), ("final_height", 50), ("disk_full", True)):
            before = getattr(api.node.shown, field)
            setattr(api.node.shown, field, value)
            assert (await api.problem("not_ready", 503, "GET", "/v1/health/ready"))["detail"]
            assert (await api.get("/v1/node")).json()["ready"] is False
            assert (await api.get("/v1/health/live")).status_code == 200
            setattr(api.node.shown, field, before)
        assert (await api.get("/v1/health/ready")).status_code == 200


async def test_stopping_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        client = api.client
        waiting: list[Any] = []

        async def hold_open() -> None:
            waiting.append(await client.get(f"/v1/transactions/{MINE}?wait_ms=30000"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_open)
            while not api.counters.connections:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            api.stop("by the test")
        assert waiting[0].json()["status"] == "not_seen"


async def test_metrics(tmp_path: Path) -> None:
    """Names with units, HELP for each, of every part; and no value that came from a client."""
    async with serving(tmp_path) as api:
        await api.post(api.node.envelopes(1, 2))
        await api.get("/nothing/here/of/mine")
        text = (await api.get("/metrics")).text
        names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
        typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        assert names == typed
        for part in ("node_", "ledger_", "pool_", "store_", "net_", "api_"):
            assert any(name.startswith(f"papilio_{part}") for name in names), part
        assert 'papilio_api_answers_total{operation="submit_envelopes",status="200"} 1.0' in text
        assert 'papilio_api_problems_total{code="no_such_path"} 1.0' in text
        assert "papilio_pool_envelopes_admitted_total 2.0" in text
        assert "of/mine" not in text


async def test_pages_and_documents(tmp_path: Path) -> None:
    """What a person finds: nothing on a page is fetched from elsewhere, nothing on it runs."""
    async with serving(tmp_path) as api:
        landing = (await api.get("/")).json()
        assert (landing["product"], landing["docs"]) == ("papilio", "/docs")
        for path in ("/", "/docs"):
            page = await api.get(path, headers={"accept": "text/html,*/*"})
            assert page.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "<script" not in page.text
            assert "src=" not in page.text
            links = [part.split('"')[0] for part in page.text.split('href="')[1:]]
            assert all(link.startswith(("#", "/")) for link in links)
        page = await api.get("/docs")
        for route in table():
            assert f'id="{route.name}"' in page.text
        assert (await api.get("/openapi.json")).json() == DOCUMENT


async def test_unknown_paths_and_methods(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for path in (
            "/nothing",
            "/v1",
            "/v1/",
            "/v1/blocks/",
            "/v1/blocks/1/2",
            "/V1/node",
            "/docs/",
            "/v1//node",
        ):
            expected = ("bad_request", 400) if path == "/v1/blocks/" else ("no_such_path", 404)
            await api.problem(*expected, "GET", path)
        for method in ("DELETE", "PUT", "PATCH", "POST", "TRACE"):
            response = await api.ask(method, "/v1/node")
            assert response.status_code == 405
            assert response.headers["allow"] == "GET, HEAD, OPTIONS"
        assert (await api.ask("GET", "/v1/envelopes")).headers["allow"] == "POST, OPTIONS"


async def test_head_and_options(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        whole = await api.get("/v1/network")
        head = await api.ask("HEAD", "/v1/network")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        options = await api.ask("OPTIONS", "/v1/network")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        assert "access-control-allow-origin" not in options.headers
        assert (await api.ask("HEAD", "/v1/events")).status_code == 200


@pytest.mark.parametrize(
    "path,words",
    [
        ("/v1/blocks/0", "from 1 to"),
        ("/v1/blocks/-1", "decimal integer"),
        ("/v1/blocks/01", "decimal integer"),
        ("/v1/blocks/1e3", "decimal integer"),
        ("/v1/blocks/99999999999999999999", "decimal integer"),
        ("/v1/blocks/%D9%A1", "decimal integer"),
        ("/v1/blocks?limit=101", "from 1 to 100"),
        ("/v1/blocks?limit=1&limit=2", "once"),
        ("/v1/blocks?limits=1", "unknown parameter"),
        ("/v1/blocks?limit", "decimal integer"),
        ("/v1/blocks?limit=%zz", "percent-encoded"),
        ("/v1/state/ledger.member?key=%ff", "UTF-8"),
        ("/v1/accounts/AB", "lower-case hex"),
        (f"/v1/accounts/{'AB' * 32}", "lower-case hex"),
        (f"/v1/transactions/{'ab' * 32}?wait_ms=30001", "30000"),
        (f"/v1/transactions/{'ab' * 32}?id=ab", "16 bytes"),
        ("/v1/events?after=x", "LOG_INDEX"),
        ("/v1/events?after=99", "not final here"),
        ("/v1/events?after=0@7", "not one of this network"),
        ("/v1/state/ledger.member?" + "&".join(["key=a"] * 17), "at most 16"),
    ],
)
async def test_parameters_are_checked(tmp_path: Path, path: str, words: str) -> None:
    async with serving(tmp_path) as api:
        assert words in (await api.problem("bad_request", 400, "GET", path))["detail"]


async def test_bodies_are_checked(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.problem("bad_request", 400, "GET", "/v1/node", content=b"x")
        for kind in ("text/plain", "", "application/json5"):
            headers = {"content-type": kind}
            await api.problem("unsupported_media_type", 415, "POST", "/v1/envelopes", content=b"{}", headers=headers)
        headers = {"content-type": "Application/JSON; charset=utf-8"}
        await api.problem("bad_request", 400, "POST", "/v1/envelopes", content=b"{}", headers=headers)


async def test_other_origins_only_where_named(tmp_path: Path) -> None:
    """A page of another origin may ask only where the operator named that origin."""
    async with serving(tmp_path, cors_origins=("https://shop.example",)) as api:
        asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        allowed = await api.ask("OPTIONS", "/v1/envelopes", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        assert allowed.headers["access-control-allow-methods"] == "POST, OPTIONS"
        found = await api.get("/v1/node", headers={"origin": "https://shop.example"})
        assert found.headers["access-control-allow-origin"] == "https://shop.example"
        other = await api.get("/v1/node", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_our_own_failure_is_answered_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a handler costs one answer, says nothing of the inside, and the node goes on."""
    async with serving(tmp_path) as api:
        monkeypatch.setattr(api.node, "status", lambda: 1 / 0)
        failed = await api.problem("internal_error", 500, "GET", "/v1/node")
        assert "division" not in str(failed)
        assert (await api.get("/v1/health/live")).status_code == 200


def test_statuses_have_reasons() -> None:
    """Every status that a code may have can be written."""
    assert set(STATUS.values()) <= set(REASONS)
    assert set(connection.PATIENCE_SECONDS) == set(connection.Stage)
