"""What the applications offer, said for machines, and people's JSON (L-1, L-10)."""

from __future__ import annotations

import json

import pytest

from protocol.codec import encode
from protocol.errors import Malformed, Refused
from protocol.ledger.accounts import ACCOUNTS
from protocol.ledger.describe import (
    describe,
    operation_from_json,
    operation_to_json,
    receipt_to_json,
    state_to_json,
)
from protocol.ledger.records import Operation, account_name
from protocol.ledger.spaces import parse_state_key
from protocol.ledger.tables import Table
from tests.ledger.world import MINT, NOTES, Give, Put, World, key

WORLD = World()
RULES = WORLD.rules


def test_the_description_is_plain_json_and_names_everything() -> None:
    described = json.loads(json.dumps(describe(RULES)))
    (application,) = described["applications"]
    assert [operation["name"] for operation in application["operations"]] == list(RULES.applications["test"].operations)
    put = application["operations"][0]
    assert put["arguments"]["required"] == ["name", "value"]
    assert put["result"]["title"] == "Units"
    assert put["refusals"][0]["code"] == "forbidden"
    assert {space["name"] for space in described["spaces"]} >= {"ledger.member", "test.note", "test.units"}


def test_operations_as_json_and_back() -> None:
    operation = Operation("test", "give", encode(Give(bytes(32), MINT, True)))
    as_json = operation_to_json(RULES, operation)
    assert as_json["arguments"] == {"to": "00" * 32, "units": "1000", "both": True}
    assert operation_from_json(RULES, as_json["app"], as_json["name"], as_json["arguments"]) == operation
    with pytest.raises(Refused):
        operation_from_json(RULES, "test", "nothing", {})
    with pytest.raises(Malformed, match="units"):
        operation_from_json(RULES, "test", "give", {**as_json["arguments"], "units": "-1"})
    assert operation_to_json(RULES, Operation("test", "give", b"\xc1"))["arguments"] == "c1"
    assert operation_to_json(RULES, Operation("gone", "give", b"\xc1"))["arguments"] == "c1"


def test_receipts_and_state_as_json() -> None:
    world = World()
    (receipt,) = world.run(world.put(1, "a", b"xyz")).receipts
    operation = Operation("test", "put", encode(Put("a", b"xyz")))
    assert receipt_to_json(world.rules, receipt, [operation])["results"] == [{"units": "3"}]
    assert receipt_to_json(world.rules, receipt)["results"] == [receipt.results[0].hex()]
    state_key = NOTES.key((account_name(key(1).public), "a"))
    value = world.tables.get(Table.STATE, state_key) or b""
    shown = state_to_json(world.rules, state_key, value)
    assert shown["key"] == {"account": account_name(key(1).public).hex(), "name": "a"}
    assert shown["value"] == {"value": b"xyz".hex()}


def test_every_pair_of_the_state_can_be_shown() -> None:
    """Members, validators and accounts of genesis too, the account's space being the accounts application's."""
    world = World()
    spaces = set()
    for state_key, value in world.tables.scan(Table.STATE, b"", limit=999):
        space = parse_state_key(state_key)[0]
        spaces.add(space)
        if space == ACCOUNTS.name:
            with pytest.raises(Refused, match=r"accounts\.account"):
                state_to_json(world.rules, state_key, value)
        else:
            assert state_to_json(world.rules, state_key, value)["space"] == space
    assert spaces == {
        "accounts.account",
        "ledger.member",
        "ledger.member_account",
        "ledger.next_validators",
        "ledger.validator",
        "test.note",
    }
