"""The API on a whole node: real consensus, workers, disk; from a post to a proof, a scrape, and an orderly end."""

from __future__ import annotations

from pathlib import Path

import httpx

from daemon.api.edge import ApiConfig, ApiEdge
from protocol.codec import encode
from protocol.proofs.verify import verify_receipt_proof
from tests.api.serving import hold
from tests.runtime.nodes import Place, genesis_of


async def test_a_whole_node(tmp_path: Path) -> None:
    edge = ApiEdge(ApiConfig(port=0))
    place = Place(tmp_path / "node", genesis_of())
    async with place.running(edges=(edge,)) as life:
        host, port = edge.addresses[0]
        assert host == "127.0.0.1"
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=30) as client:
            body = {"envelopes": [data.hex() for data in life.envelopes(1, 3)]}
            posted = await client.post("/v1/envelopes?wait_ms=30000", json=body)
            hold(posted)
            results = posted.json()["results"]
            assert [result["status"] for result in results] == ["final"] * 3
            name = results[2]["transaction"]
            proof = await client.get(f"/v1/transactions/{name}/proof?wait_ms=30000")
            hold(proof)
            shown = verify_receipt_proof(encode(place.genesis), proof.content)
            assert shown.envelope.transaction.hex() == name
            for path in (
                "/v1/node",
                "/v1/network",
                "/v1/health/ready",
                "/v1/blocks/latest",
                f"/v1/transactions/{name}",
            ):
                answer = await client.get(path)
                hold(answer)
                assert answer.status_code == 200
            text = (await client.get("/metrics")).text
            assert "papilio_ledger_transactions_total 3.0" in text
            unnamed = [line for line in text.splitlines() if line.startswith("papilio_node_other")]
            assert unnamed == [], "daemon/observe/metrics.py has words for all that the node counts"


async def test_a_stream_lets_the_node_end(tmp_path: Path) -> None:
    """An open stream does not hold the node up: it is told why, and ends."""
    edge = ApiEdge(ApiConfig(port=0))
    async with httpx.AsyncClient(timeout=30) as client:
        async with Place(tmp_path / "node", genesis_of()).running(edges=(edge,)) as life:
            await life.submit(1, 1)
            host, port = edge.addresses[0]
            request = client.build_request("GET", f"http://{host}:{port}/v1/events")
            response = await client.send(request, stream=True)
        text = (await response.aread()).decode()
        assert '"code":"stopping"' in text
        assert "event: end" in text
