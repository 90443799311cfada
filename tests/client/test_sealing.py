"""Accounts and envelopes: operations in every form, keys that show nowhere, signatures of all who must."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from daemon.client import Account, Sealed, evidence, points
from daemon.client.errors import TransactionFailed
from daemon.client.sealing import as_operation, open_result, operation_json, seal
from daemon.client.views import BadAnswer, read_outcome, read_receipt
from daemon.config.problems import ConfigurationFault
from protocol.apps.accounts import SetKeys
from protocol.apps.points.records import ProgrammeOpened
from protocol.codec import encode
from protocol.codec.json import to_json
from protocol.crypto.signing import SigningKey, verify_message
from protocol.errors import PapilioError
from protocol.ledger.envelope import parse_envelope, signature_items
from protocol.ledger.records import Operation, account_name
from tests.client.envelopes import NETWORK_ID, RULES_NOW, account, sealed

SEED = bytes(range(32))
RECORD = evidence.record_of(b"a document", media_type="text/plain")


def made(*operations: Any, sender: Account | None = None, consents: tuple[Account, ...] = ()) -> Sealed:
    canonical = [as_operation(RULES_NOW, operation) for operation in operations]
    who = sender or account()
    return seal(who, canonical, network_id=NETWORK_ID, identifier=bytes(16), valid_until_ms=5, consents=consents)


def test_an_account_is_named_by_its_first_key() -> None:
    alice = Account.from_seed(SEED)
    assert alice.name == account_name(SigningKey(SEED).public)
    assert Account.new().name != Account.new().name


def test_no_text_or_copy_of_an_account_shows_a_secret() -> None:
    alice = Account.from_seed(SEED)
    assert SEED.hex() not in repr(alice) + str(alice) + repr(alice.keys) + repr(made(RECORD, sender=alice))
    assert repr(alice) == f"Account(account:{alice.name.hex()}, 1 key)"
    for way in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            way(alice)


def test_key_files(tmp_path: Path) -> None:
    alice = Account.create(tmp_path / "alice.key")
    assert (tmp_path / "alice.key").stat().st_mode & 0o777 == 0o600
    assert Account.read(tmp_path / "alice.key").name == alice.name
    with pytest.raises(ConfigurationFault):
        Account.create(tmp_path / "alice.key")


@pytest.mark.parametrize(
    ("numbers", "name", "words"),
    [([], None, "1 to 8 keys"), ([1, 2], None, "give its name"), ([1, 1], bytes(32), "twice"), ([1], b"x", "32 bytes")],
)
def test_accounts_that_are_none(numbers: list[int], name: bytes | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Account([SigningKey(number.to_bytes(32, "big")) for number in numbers], name)


def test_all_keys_at_hand_and_all_consents_sign() -> None:
    """k of n, and a second account (L-6); signers distinct and ascending (L-5)."""
    board = Account([SigningKey(bytes([n]) * 32) for n in (3, 1, 2)], name=bytes(32))
    item = made(RECORD, sender=board, consents=(account(7), account(7)))
    parsed = parse_envelope(item.data, NETWORK_ID)
    assert set(parsed.signers) == {*board.signers, *account(7).signers}
    assert all(verify_message(*signature) for signature in signature_items(parsed))
    assert item.account == bytes(32)
    with pytest.raises(ValueError, match="at most 8 signers"):
        made(RECORD, consents=tuple(account(number) for number in range(1, 10)))


def test_an_operation_in_every_form_is_the_same() -> None:
    canonical = as_operation(RULES_NOW, RECORD)
    assert canonical == Operation("evidence", "record", encode(RECORD))
    assert as_operation(RULES_NOW, canonical) == canonical
    assert as_operation(RULES_NOW, {"app": "evidence", "name": "record", "arguments": to_json(RECORD)}) == canonical
    assert as_operation(RULES_NOW, operation_json(RULES_NOW, canonical)) == canonical


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (object(), "unknown_operation", "object is not the arguments"),
        ({"app": "evidence", "name": "burn", "arguments": {}}, "unknown_operation", "evidence.burn"),
        ({"app": "evidence", "name": "record"}, "bad_arguments", "an operation is"),
        ({"app": "evidence", "name": "withdraw", "arguments": {"delegate": "00"}}, "bad_arguments", "delegate"),
        (Operation("evidence", "record", b"junk"), "bad_arguments", "not a canonical RecordEvidence"),
        (evidence.Withdraw(b"short"), "bad_arguments", "evidence.withdraw"),
        (SetKeys((bytes(32),), 1), "bad_arguments", "keys[0]"),
        (points.Transfer(bytes(16), bytes(32), 0, ""), "bad_arguments", "points.transfer"),
    ],
)
def test_what_no_ledger_could_accept_is_not_signed(given: Any, code: str, words: str) -> None:
    with pytest.raises(PapilioError) as raised:
        as_operation(RULES_NOW, given)
    assert raised.value.code == code
    assert words in raised.value.words


def test_too_much_for_one_envelope() -> None:
    long = Operation("evidence", "record", bytes(16_000))
    for operations in ([long] * 17, [as_operation(RULES_NOW, RECORD)] * 1_001):
        with pytest.raises(PapilioError) as raised:
            seal(account(), operations, network_id=NETWORK_ID, identifier=bytes(16), valid_until_ms=5)
        assert raised.value.code == "too_large"


def test_a_sealed_envelope_survives_being_written_down(tmp_path: Path) -> None:
    item = sealed(3, 77)
    (tmp_path / "envelope").write_bytes(item.data)
    assert Sealed.read((tmp_path / "envelope").read_bytes(), NETWORK_ID) == item
    with pytest.raises(PapilioError, match="network"):
        Sealed.read(item.data, bytes(32))


# -- What comes back ----------------------------------------------------------------------------------

RECEIPT: dict[str, Any] = {"transaction": "00" * 32, "height": 3, "time_ms": 4, "position": 0, "code": "ok"}
RECEIPT |= {"operation": None, "words": "", "results": [{"programme": "11" * 16}]}
OPEN = Operation("points", "open_programme", b"")


def test_results_are_opened() -> None:
    receipt = read_receipt(RECEIPT, RULES_NOW, [OPEN])
    assert receipt.results == (ProgrammeOpened(b"\x11" * 16),)
    assert read_receipt(RECEIPT).results == ({"programme": "11" * 16},)
    assert open_result(RULES_NOW, OPEN, encode(ProgrammeOpened(bytes(16)))) == ProgrammeOpened(bytes(16))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transaction", "00"),
        ("transaction", None),
        ("height", "x"),
        ("height", True),
        ("code", 7),
        ("results", {}),
        ("results", [{"programme": "zz"}]),
        ("results", ["zz"]),
        ("words", None),
    ],
)
def test_a_receipt_that_is_none(name: str, value: Any) -> None:
    with pytest.raises(BadAnswer):
        read_receipt({**RECEIPT, name: value}, RULES_NOW, [OPEN])


def test_an_outcome_of_another_transaction() -> None:
    final = {"status": "final", "log_index": 0, "receipt": RECEIPT}
    assert read_outcome(final, bytes(32)).receipt is not None
    with pytest.raises(BadAnswer, match="another transaction"):
        read_outcome(final, b"\x01" * 32)
    with pytest.raises(BadAnswer, match="another transaction"):
        read_outcome({"status": "pending", "transaction": "00" * 32}, b"\x01" * 32)


def test_a_failure_says_which_operation_and_why() -> None:
    receipt = read_receipt({**RECEIPT, "code": "forbidden", "operation": 2, "words": "not yours", "results": []})
    fault = TransactionFailed(receipt)
    assert (fault.code, fault.words, fault.transaction) == ("forbidden", "operation 2: not yours", bytes(32))
