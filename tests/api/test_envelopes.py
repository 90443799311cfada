"""Submitting, outcomes, receipts and their proofs: what a client sees (L-7, L-9, L-10, L-21)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from daemon import limits
from daemon.api import envelopes as handlers
from daemon.api.problems import Problem
from protocol import errors
from protocol.apps.points.records import OpenProgramme, Roles, Terms
from protocol.codec import decode, encode
from protocol.ledger.envelope import parse_envelope
from protocol.ledger.genesis import member_account
from protocol.ledger.index import receipt_at
from protocol.ledger.records import Envelope
from protocol.limits import KIB
from protocol.proofs.verify import verify_receipt_proof
from tests.api.serving import serving
from tests.ledger.world import key
from tests.runtime.ledgers import envelope

UNKNOWN = "ab" * 32


def transaction(network_id: bytes, data: bytes) -> str:
    return parse_envelope(data, network_id).transaction.hex()


async def test_one_and_many_from_pending_to_final(tmp_path: Path) -> None:
    """L-9: pending, then final with the receipt, the same at any time later."""
    async with serving(tmp_path) as api:
        first, second, third = api.node.envelopes(1, 3)
        posted = await api.post([first])
        assert posted.json()["results"] == [
            {"transaction": transaction(api.node.world.network_id, first), "status": "pending"}
        ]
        results = (await api.post([second, third])).json()["results"]
        assert [result["status"] for result in results] == ["pending", "pending"]
        path = f"/v1/transactions/{results[1]['transaction']}"
        assert (await api.get(path)).json()["status"] == "pending"
        api.node.make_block()
        outcome = (await api.get(path)).json()
        assert (outcome["status"], outcome["log_index"], outcome["executed_height"]) == ("final", 2, 1)
        assert outcome["receipt"]["code"] == "ok"
        assert (await api.get(path)).json() == outcome


async def test_msgpack_is_taken_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        body = msgpack.packb(api.node.envelopes(1, 2))
        response = await api.ask("POST", "/v1/envelopes", content=body, headers={"content-type": "application/msgpack"})
        assert [result["status"] for result in response.json()["results"]] == ["pending", "pending"]


async def test_waiting_for_finality(tmp_path: Path) -> None:
    """`wait_ms` turns results into final outcomes where that is reached; a time-out says pending, nothing else."""
    async with serving(tmp_path) as api:
        envelopes = api.node.envelopes(1, 3)

        async def finalize() -> None:
            while len(api.node.pending) < 3:
                await trio.lowlevel.checkpoint()
            api.node.make_block(envelopes[:2])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finalize)
            results = (await api.post(envelopes, "?wait_ms=200")).json()["results"]
        assert [result["status"] for result in results] == ["final", "final", "pending"]
        late = await api.get(f"/v1/transactions/{results[2]['transaction']}?wait_ms=1")
        assert late.json()["status"] == "pending"


async def test_each_envelope_has_a_result_of_its_own(tmp_path: Path) -> None:
    """L-10: codes of the table, whose fault, and whether to retry; the good one is taken all the same."""
    async with serving(tmp_path) as api:
        good, other = api.node.envelopes(1, 2)
        opened = decode(Envelope, other)
        signature = opened.signatures[0]
        forged = encode(Envelope(opened.body, (signature[:-1] + bytes([signature[-1] ^ 1]),)))
        late = api.node.envelopes(3, 1)[0]
        api.node.world.block(step_ms=1)
        results = (await api.post([good, b"\xff", forged, late])).json()["results"]
        assert [result.get("code") for result in results] == [None, "malformed", "bad_signature", None]
        assert (results[1]["fault"], results[1]["retry"]) == ("client", "changed")
        assert "transaction" not in results[1]


async def test_sending_again_gives_the_first_receipt(tmp_path: Path) -> None:
    """L-7: clients retry without fear."""
    async with serving(tmp_path) as api:
        envelopes = api.node.envelopes(1, 1)
        await api.post(envelopes)
        api.node.make_block()
        api.node.make_block([])
        again = (await api.post(envelopes)).json()["results"][0]
        assert (again["status"], again["receipt"]["height"], again["log_index"]) == ("final", 1, 0)


@pytest.mark.parametrize("gone", ["pruned", "damaged"])
async def test_an_outcome_outlives_its_block(tmp_path: Path, gone: str) -> None:
    """Receipt and index are there: who asks gets them, with the results as they are encoded."""
    async with serving(tmp_path) as api:
        world = api.node.world
        terms = Terms("Test", "point", True, False, None, 1, 1)
        operations = [("open_programme", OpenProgramme("test", terms, Roles((), (), ())))]
        member = member_account(world.genesis.members[0])
        opens = world.envelope(2, operations, signers=[key(100)], account=member, app="points")
        envelopes = [*api.node.envelopes(1, 1), opens]
        api.node.make_block(envelopes)
        if gone == "pruned":
            api.node.first_height = 2
        else:
            api.node.damaged.add(1)
        name = transaction(world.network_id, opens)
        for query in ("", "?wait_ms=1000"):
            response = await api.get(f"/v1/transactions/{name}{query}")
            assert response.status_code == 200
            outcome = response.json()
            assert (outcome["status"], outcome["log_index"]) == ("final", 1)
            with api.node.service.reader() as reader:
                receipt = receipt_at(reader, 1)
            assert receipt is not None
            assert receipt.results[0]
            assert outcome["receipt"]["results"] == [receipt.results[0].hex()]
        again = (await api.post(envelopes, "?wait_ms=1000")).json()["results"]
        assert [result["status"] for result in again] == ["final", "final"]
        assert list(again[1]["receipt"]["results"][0]) == ["programme"], "the envelope itself tells its operations"


async def test_failed_operations_are_final_with_their_code(tmp_path: Path) -> None:
    """L-8: a failure has a receipt, with the operation and words."""
    async with serving(tmp_path) as api:
        api.node.make_block(api.node.envelopes(1, 1))
        again = api.node.envelopes(1, 1, signer=key(1))[0]
        body = parse_envelope(again, api.node.world.network_id).body
        renamed = api.node.world.envelope(77, [(o.name, o.arguments) for o in body.operations], app="evidence")
        result = (await api.post([renamed])).json()["results"][0]
        api.node.make_block()
        outcome = (await api.get(f"/v1/transactions/{result['transaction']}")).json()
        assert outcome["status"] == "final"
        assert outcome["receipt"]["code"] == "already_exists"
        assert outcome["receipt"]["operation"] == 0
        assert outcome["receipt"]["results"] == []


@pytest.mark.parametrize(
    "code,status",
    [
        (errors.POOL_FULL, 429),
        (errors.ACCOUNT_SHARE_FULL, 429),
        (errors.DISK_FULL, 503),
        (errors.NOT_VALIDATOR, 503),
    ],
)
async def test_pressure_is_told_with_retry_after(tmp_path: Path, code: str, status: int) -> None:
    """L-13, L-28: the post as a whole is refused, so that no client has to look into it to slow down."""
    async with serving(tmp_path) as api:
        api.node.pressure = code
        response = await api.post(api.node.envelopes(1, 2))
        assert response.status_code == status
        assert response.json()["code"] == code
        assert int(response.headers["retry-after"]) >= 1
        assert [result["code"] for result in response.json()["results"]] == [code, code]


async def test_the_five_outcomes(tmp_path: Path) -> None:
    """L-9: final and pending are above; here not seen, expired, refused, and an id that another content took."""
    async with serving(tmp_path) as api:
        node = api.node
        assert (await api.get(f"/v1/transactions/{UNKNOWN}")).json()["status"] == "not_seen"
        until = node.world.time_ms + 60_000
        never = node.envelopes(9, 1)[0]
        name = transaction(node.world.network_id, never)
        path = f"/v1/transactions/{name}?valid_until_ms={until}"
        assert (await api.get(path)).json()["status"] == "not_seen"
        node.make_block([], step_ms=59_999)
        assert (await api.get(path)).json()["status"] == "not_seen"
        node.make_block([], step_ms=1)
        assert (await api.get(path)).json()["status"] == "expired"
        refused = (await api.post([never])).json()["results"][0]
        assert (refused["status"], refused["code"], refused["transaction"]) == ("refused", "expired", name)
        assert (await api.get(f"/v1/transactions/{name}")).json()["code"] == "expired"


async def test_an_id_that_another_content_took(tmp_path: Path) -> None:
    """L-7, L-9: told as a conflict to whoever gives the envelope's identity."""
    async with serving(tmp_path) as api:
        first, longer = (
            api.node.envelopes(5, 1)[0],
            envelope(api.node.world.network_id, 9, api.node.world.time_ms + 900_000),
        )
        api.node.make_block([first, longer])
        body = parse_envelope(first, api.node.world.network_id).body
        identity = f"account={body.account.hex()}&id={body.id.hex()}"
        answer = (await api.get(f"/v1/transactions/{UNKNOWN}?{identity}")).json()
        assert (answer["status"], answer["code"], answer["transaction"]) == ("refused", "conflict", UNKNOWN)
        assert (await api.get(f"/v1/transactions/{UNKNOWN}?{identity[:-1]}0")).json()["status"] == "not_seen"
        api.node.make_block([], step_ms=body.valid_until_ms - api.node.world.time_ms)
        answer = (await api.get(f"/v1/transactions/{UNKNOWN}?{identity}")).json()
        assert answer["status"] == "not_seen", "the id is free again, whether the entry is still there or not"


async def test_a_proof_verifies_offline(tmp_path: Path) -> None:
    """L-21: not found, then not covered yet, then a file that verifies with genesis alone."""
    async with serving(tmp_path) as api:
        data = api.node.envelopes(1, 1)[0]
        name = transaction(api.node.world.network_id, data)
        path = f"/v1/transactions/{name}/proof"
        await api.problem("not_found", 404, "GET", path)
        api.node.make_block([data])
        early = await api.problem("not_covered", 409, "GET", path)
        assert early["retry"] == "later"
        await api.problem("not_covered", 409, "GET", path)
        assert api.node.reads == [1], "the newest header, once: nothing is read for a proof that cannot be made yet"

        async def cover() -> None:
            await trio.lowlevel.checkpoint()
            api.node.make_block([])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cover)
            found = await api.get(f"{path}?wait_ms=30000")
        shown = verify_receipt_proof(encode(api.node.world.genesis), found.content)
        assert shown.ok
        assert shown.envelope.transaction.hex() == name
        verified = await api.ask(
            "POST",
            "/v1/proofs/verify",
            content=found.content,
            headers={"content-type": "application/vnd.papilio.proof"},
        )
        assert verified.json()["verified"] is True
        assert verified.json()["receipt"]["transaction"] == name
        for at in (0, 40, len(found.content) // 2, len(found.content) - 1):
            altered = bytearray(found.content)
            altered[at] ^= 1
            answer = await api.ask(
                "POST",
                "/v1/proofs/verify",
                content=bytes(altered),
                headers={"content-type": "application/octet-stream"},
            )
            assert answer.json()["verified"] is False
            assert answer.json()["code"].startswith("proof_")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"envelopes": []}',
        b'{"envelopes": "ab"}',
        b'{"envelopes": [1]}',
        b'{"envelopes": ["AB"]}',
        b'{"envelopes": ["abc"]}',
        b'{"envelopes": [""]}',
        b'{"envelopes": ["ab"], "more": 1}',
        b'{"envelopes": ["\xff"]}',
        b"[" * 100_000,
        b'{"envelopes": [' + b",".join([b'"ab"'] * 1001) + b"]}",
    ],
    ids=lambda body: f"{body[:24]!r}",
)
async def test_a_body_of_another_form_is_refused(tmp_path: Path, body: bytes) -> None:
    """The form of a body is judged before anything is done with it; nothing is submitted."""
    async with serving(tmp_path) as api:
        headers = {"content-type": "application/json"}
        await api.problem("bad_request", 400, "POST", "/v1/envelopes", content=body, headers=headers)
        assert api.node.service.counters["submitted"] == 0


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"\xc0",
            b"\xc4\x01a",
            b"\x91\xa1a",
            b"\x91\xd9\x01a",
            b"\x91\x01",
            b"\x91\xc0",
            b"\x91\x90",
            b"\x91" * 2000,
        ),
        *(b"\x90", b"\xdc\x00\x00", b"\xdd\x00\x00\x00\x00", b"\xdd\xff\xff\xff\xff", b"\x80", b"\x81\xc4\x00\xc4\x00"),
        *(
            b"\x91",
            b"\xdc",
            b"\xdc\x01",
            b"\xdd\x00\x00\x01",
            b"\x92\xc4\x01a",
            b"\x91\xc4",
            b"\x91\xc4\x02a",
            b"\x91\xc5\x00",
        ),
        *(b"\x91\xc6\xff\xff\xff\xffa", b"\x92\xc4\xff\xc4\x00", b"\x91\xc4\x01a\x00", b"\x91\xc4\x01a\xc4\x01a"),
        msgpack.packb([b"a"] * (limits.API_ENVELOPES_MAX + 1)),
    ],
    ids=lambda body: body[:8].hex(),
)
async def test_a_msgpack_body_of_another_form_is_refused(tmp_path: Path, body: bytes) -> None:
    """Nothing is submitted of what is no array, of other items, of too many or none, of too few or too many bytes."""
    async with serving(tmp_path) as api:
        headers = {"content-type": "application/msgpack"}
        await api.problem("bad_request", 400, "POST", "/v1/envelopes", content=body, headers=headers)
        assert api.node.service.counters["submitted"] == 0


def unpacked(body: bytes) -> list[bytes] | None:
    """What msgpack makes of a body, if it is one to be taken."""
    try:
        value = msgpack.unpackb(body, raw=False)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    right = type(value) is list and 1 <= len(value) <= limits.API_ENVELOPES_MAX
    return value if right and all(type(item) is bytes for item in value) else None


def taken(body: bytes) -> list[bytes] | None:
    """What the API makes of it."""
    try:
        return handlers._read_msgpack(body)
    except Problem as fault:
        if fault.status != 400:
            raise
        return None


SHORT_ITEMS = st.sampled_from(
    [b"\xc4\x00", b"\xc4\x01a", b"\xc5\x00\x01a", b"\xc6\x00\x00\x00\x01a", b"\xc4\x01", b"\x90", b"\xa0", b"\x00"]
)
SHORT_HEADS = st.sampled_from(
    [b"\x90", b"\x91", b"\x92", b"\xdc\x00\x01", b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02", b"\xdd\x00", b"\x81"]
)


@given(
    body=st.binary(max_size=20) | st.builds(bytes.__add__, SHORT_HEADS, st.lists(SHORT_ITEMS, max_size=3).map(b"".join))
)
def test_any_bytes_are_taken_as_msgpack_takes_them(body: bytes) -> None:
    """Heads of every width, longer ones than needed too."""
    assert taken(body) == unpacked(body)


@given(
    items=st.lists(st.binary(max_size=300), min_size=1, max_size=40),
    cut=st.integers(0, 1_000_000),
    more=st.binary(min_size=1),
)
@example(items=[bytes(70_000), bytes(256), b""], cut=4_000, more=b"\x00")
@example(items=[b"a"] * limits.API_ENVELOPES_MAX, cut=2_999, more=b"a")
def test_msgpack_bodies_whole_cut_and_too_long(items: list[bytes], cut: int, more: bytes) -> None:
    body = msgpack.packb(items)
    assert taken(body) == items
    assert taken(body[: cut % len(body)]) is None
    assert taken(body + more) is None


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (handlers._read_msgpack, b"\xdc\x03\xe8" + (b"\xdc\x03\xe8" + b"\x90" * 1_000) * 1_000),
        (handlers._read_msgpack, b"\xdc\x03\xe8" + (b"\xdc\x03\xe8" + b"\xc0" * 1_000) * 1_000),
        (handlers._read_json, b'{"envelopes": [' + b"[]," * 1_000_000 + b"[]]}"),
        (handlers._read_json, b'{"envelopes": [' + b"{}," * 999 + b"{}]}"),
        (handlers._read_json, b'{"envelopes": [' + b"1," * 1_000_000 + b"1]}"),
        (handlers._read_json, '{"envelopes": ['.encode("utf-16") + "[],".encode("utf-16-le") * 500_000),
    ],
    ids=["msgpack nested", "msgpack flat", "json nested", "json objects", "json flat", "json in UTF-16"],
)
def test_a_hostile_body_is_refused_before_anything_is_made_of_it(
    read: Callable[[bytes], list[bytes]], body: bytes
) -> None:
    """What a body nests would cost a hundred times its bytes, and hold the interpreter while it is made."""
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            read(body)
        assert tracemalloc.get_traced_memory()[1] < 64 * KIB
    finally:
        tracemalloc.stop()
    assert caught.value.status == 400


async def test_an_envelope_that_is_too_large(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        body = {"envelopes": ["00" * (256 * 1024 + 1)]}
        await api.problem("too_large", 413, "POST", "/v1/envelopes", json=body)


async def test_a_node_that_stops_refuses_and_answers_what_it_holds(tmp_path: Path) -> None:
    """A post that waits when the node stops gets its answer; its client is not left hanging."""
    async with serving(tmp_path) as api:
        api.node.answers = False
        answers = []

        async def post() -> None:
            answers.append(await api.post(api.node.envelopes(1, 1)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            while not api.node.service.posts_waiting:
                await trio.lowlevel.checkpoint()
            api.stop("the operator says so")
            api.node.service.abandon()
        assert (answers[0].status_code, answers[0].json()["code"]) == (503, "stopping")
