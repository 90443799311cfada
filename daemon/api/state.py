"""What the applications offer, what their state holds, and proofs of it."""

from __future__ import annotations

from typing import Any, Final, cast

from daemon.api.messages import PROOF, Answer
from daemon.api.problems import Problem, to_bytes
from daemon.api.routes import Given
from daemon.api.schemas import Receipt, Verified
from daemon.api.surroundings import Surroundings
from protocol.codec import KINDS, encode, kind_of
from protocol.errors import BAD_REQUEST, NOT_FOUND, Malformed
from protocol.ledger.added import newest, second_found
from protocol.ledger.application import Rules
from protocol.ledger.describe import describe, receipt_to_json, state_to_json
from protocol.ledger.index import executed_height
from protocol.ledger.spaces import Space, parse_state_key, parts_from_text
from protocol.ledger.state import stored_value
from protocol.ledger.tables import Reader
from protocol.proofs.explain import explain
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import StateProof
from protocol.proofs.verify import verify_receipt_proof, verify_state_proof

NOTE: Final = (
    "This node checked the file against its own genesis. To trust no node, check it offline: "
    "papilio proof verify needs only network.toml."
)


async def apps(around: Surroundings, _given: Given) -> Answer:
    """GET /v1/apps."""
    return Answer(200, to_bytes(describe(_rules(around))))


async def app(around: Surroundings, given: Given) -> Answer:
    """GET /v1/apps/{app}."""
    described = describe(_rules(around))
    for application in described["applications"]:
        if application["name"] == given["app"]:
            spaces = [space for space in described["spaces"] if space["name"] in application["spaces"]]
            return Answer(200, to_bytes({**application, "spaces": spaces, "rules": described["rules"]}))
    names = ", ".join(application["name"] for application in described["applications"])
    raise Problem(NOT_FOUND, f"no application of that name; there are: {names}")


async def value(around: Surroundings, given: Given) -> Answer:
    """GET /v1/state/{space}."""
    rules = _rules(around)
    with around.node.reader() as reader:
        height = executed_height(reader) or 0
        space, key = _key(rules, given, reader)
        data = None if key is None else stored_value(newest(reader), space, key)
    if key is None or data is None:
        raise Problem(NOT_FOUND, f"the state has no value there at height {height}", more={"height": height})
    return Answer(200, to_bytes({**state_to_json(rules, key, data), "height": height}))


async def proof(around: Surroundings, given: Given) -> Answer:
    """GET /v1/state/{space}/proof."""
    rules = _rules(around)

    def make() -> bytes:
        with around.node.reader() as reader:
            _, key = _key(rules, given, reader)
            if key is None:
                raise Problem(NOT_FOUND, "no record is found by that second key, which cannot be proven")
            return around.prover.state(reader, key)

    name = f'attachment; filename="{given["space"]}.proof"'
    return Answer(200, await around.prove(make), PROOF, (("content-disposition", name),))


async def verify(around: Surroundings, given: Given) -> Answer:
    """POST /v1/proofs/verify."""
    body = given.request.body
    return Answer(200, to_bytes(await around.prove(lambda: _verify(around, body))))


def _verify(around: Surroundings, data: bytes) -> Verified:
    genesis = encode(around.node.genesis)
    try:
        if KINDS.get(kind_of(data) or 0) is StateProof:
            return _shown_state(genesis, data)
        return _shown_receipt(around, genesis, data)
    except ProofRefused as fault:
        return {"verified": False, "code": fault.code, "detail": fault.words, "note": NOTE}


def _shown_receipt(around: Surroundings, genesis: bytes, data: bytes) -> Verified:
    shown = verify_receipt_proof(genesis, data)
    rules = around.rules(shown.receipt.height)
    receipt = receipt_to_json(rules, shown.receipt, shown.envelope.body.operations)
    return {
        "verified": True,
        "kind": "receipt",
        "explanation": explain(shown),
        "height": shown.final.header.height,
        "receipt": cast(Receipt, receipt),
        "note": NOTE,
    }


def _shown_state(genesis: bytes, data: bytes) -> Verified:
    shown = verify_state_proof(genesis, data)
    return {
        "verified": True,
        "kind": "state",
        "explanation": explain(shown),
        "height": shown.final.header.height,
        "space": parse_state_key(shown.key)[0],
        "value": None if shown.value is None else shown.value.hex(),
        "note": NOTE,
    }


def _rules(around: Surroundings) -> Rules:
    """Those of the next block."""
    return around.rules(around.node.status().executed_height + 1)


def _key(rules: Rules, given: Given, reader: Reader) -> tuple[Space[Any], bytes | None]:
    """Space and encoded state key, also of the record that is found by a second one: None if none is.

    Raises Problem, Refused(too_large).
    """
    name, texts = given["space"], list(given["key"])
    space: Space[Any] | None = rules.spaces.get(name)
    try:
        if space is not None:
            return space, space.key(parts_from_text(space, texts))
        space = rules.second.get(name)
        if space is None or space.also is None:
            raise Problem(NOT_FOUND, "no space of that name; /v1/apps lists them")
        found = second_found(newest(reader), space, parts_from_text(space.also, texts))
    except Malformed as fault:
        raise Problem(BAD_REQUEST, fault.words) from fault
    return space, None if found is None else space.key(found[0])
