"""The registry: rules by version (L-23), and every operation in words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from protocol.apps import registry
from protocol.apps.accounts import SetKeys
from protocol.apps.common import make_app, quoted, short
from protocol.apps.evidence.records import (
    GrantRights,
    RecordEvidence,
    RevokeEvidence,
    Statement,
    SupersedeEvidence,
    WithdrawRights,
)
from protocol.apps.points.records import (
    AddMethodology,
    CloseMethodology,
    Expire,
    Expired,
    ProgrammeOpened,
    Redeem,
    Retire,
    Retired,
    SetRoles,
    SetStatus,
)
from protocol.codec import encode
from protocol.errors import BrokenInvariant, OperatorFault
from protocol.ledger.describe import describe
from protocol.ledger.genesis import Genesis, RulesFrom
from protocol.ledger.records import Operation, Receipt
from tests.apps.programme import FACTORS, ROLES, P, activity, issue_for, opened, passed_on
from tests.apps.world import KINDS_OF_OPERATION, account, id16

SAID = Statement(1, b"\xab" * 32, 1234, "text/plain", "invoice", "shipping", 'a "b"\x1b[31m', None)
SALTED = Statement(2, b"\xcd" * 32, 17, "", "", "", "", None)
SENTENCES: list[tuple[Any, Any, list[str]]] = [
    (SetKeys((bytes(32), b"\x01" * 32), 2), None, ["2 of 2 keys", "0101"]),
    (RecordEvidence(None, id16(1), SAID), None, ["SHA-256 abab", "1234 bytes", '"invoice"', r"a \"b\"\u{1b}[31m"]),
    (RecordEvidence(account("ann"), id16(1), SALTED), None, ["17 salted fields", "cdcd", short(account("ann"))]),
    (SupersedeEvidence(None, id16(2), id16(1), "typo", SAID), None, [id16(1).hex(), id16(2).hex(), '"typo"']),
    (RevokeEvidence(None, id16(1), 3, "fake"), None, [id16(1).hex(), "found false", '"fake"']),
    (GrantRights(account("ben"), 5, 99), None, ["may record, revoke", "until 99 ms"]),
    (WithdrawRights(account("ben")), None, [short(account("ben"))]),
    (opened(), ProgrammeOpened(P), ['"Green travel"', P.hex(), "may be transferred", "never expire"]),
    (SetRoles(P, ROLES), None, ["1 issuers", "1 recorders", "1 redeemers"]),
    (SetStatus(P, 2, "a check"), None, ["suspended", '"a check"']),
    (AddMethodology(P, 1, FACTORS, "example"), None, ["192 mg", "12 mg", "3 points for every 10 g", '"example"']),
    (CloseMethodology(P, 1), None, ["Closed methodology 1"]),
    (activity(7), None, ["quantity 1000", (7).to_bytes(32, "big").hex()]),
    (issue_for(7), None, ["54 points", "180 g", "methodology 1"]),
    (passed_on("ben", 9), None, ["9 points", short(account("ben"))]),
    (Redeem(P, account("shop"), "order 1", 9), None, ["9 points", '"order 1"', short(account("shop"))]),
    (Retire(P, 9, "Oslo", "offset"), Retired(4), ["9 points", '"Oslo"', "retirement 4", '"offset"']),
    (Expire(P, account("ann")), Expired(3), ["3 expired points"]),
]


def as_operation(arguments: Any) -> Operation:
    app, kind = KINDS_OF_OPERATION[type(arguments)]
    return Operation(app, kind.name, encode(arguments))


def test_every_operation_has_a_sentence_here() -> None:
    assert {type(arguments) for arguments, _, _ in SENTENCES} == set(KINDS_OF_OPERATION)


@pytest.mark.parametrize("arguments, result, parts", SENTENCES)
def test_every_operation_is_said_in_words(arguments: Any, result: Any, parts: list[str]) -> None:
    """What a person needs to know is in it, and nothing that a terminal would obey."""
    data = b"" if result is None else encode(result)
    sentence = registry.explain(registry.RULES[1], as_operation(arguments), data)
    for part in parts:
        assert part in sentence
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert registry.explain(registry.RULES[1], as_operation(arguments)).endswith("."), "without its result too"


def test_what_cannot_be_opened_is_said_to_be_so() -> None:
    rules = registry.RULES[1]
    assert "do not have" in registry.explain(rules, Operation("points", "print\x07", b""))
    assert "do not have" in registry.explain(rules, Operation("poinds", "transfer", b""))
    assert "cannot be opened" in registry.explain(rules, Operation("points", "transfer", b"\x00"))
    retire = as_operation(Retire(P, 9, "Oslo", "offset"))
    assert "cannot be opened" in registry.explain(rules, retire, b"\x00")


def test_a_refused_envelope_is_never_told_as_a_success() -> None:
    """One sentence, and it says that nothing was done."""
    operations = [as_operation(issue_for(1)), as_operation(passed_on("ben", 9))]
    good = Receipt(bytes(32), 5, 6, 0, "ok", None, "", (b"", b""))
    told = registry.explain_receipt(registry.RULES[1], operations, good)
    assert [sentence.split()[0] for sentence in told] == ["Issued", "Transferred"]
    bad = replace(good, code="insufficient_balance", operation=1, words="9 points\x1b", results=())
    (sentence,) = registry.explain_receipt(registry.RULES[1], operations, bad)
    assert sentence.startswith('Nothing was done. Operation 2 of 2 ("points" "transfer") was refused')
    assert "fewer points" in sentence
    assert sentence.isprintable()
    for odd in (replace(bad, operation=None), replace(bad, operation=7), replace(bad, code="no_such_code")):
        (sentence,) = registry.explain_receipt(registry.RULES[1], operations, odd)
        assert sentence.startswith("Nothing was done.")


def test_rules_hold_by_height_and_unknown_ones_are_refused_with_words() -> None:
    """L-23."""
    known = cast("Genesis", SimpleNamespace(rules=(RulesFrom(1, 1),)))
    assert registry.rules_at(known, 0) is registry.rules_at(known, 10**9) is registry.RULES[1]
    registry.check_rules(known)
    later = cast("Genesis", SimpleNamespace(rules=(RulesFrom(1, 1), RulesFrom(50, 99))))
    assert registry.rules_at(later, 49) is registry.RULES[1]
    with pytest.raises(OperatorFault, match="rules version 99 is not known"):
        registry.rules_at(later, 50)
    with pytest.raises(OperatorFault, match="use a newer one"):
        registry.check_rules(later)


def test_everything_is_described() -> None:
    """One description for the API and the command line."""
    described = describe(registry.RULES[1])
    listed = {(app["name"], one["name"]) for app in described["applications"] for one in app["operations"]}
    assert listed == {(app, kind.name) for app, kind in KINDS_OF_OPERATION.values()}
    assert all(one["words"].endswith(".") for app in described["applications"] for one in app["operations"])


def test_an_application_without_words_for_an_operation_cannot_be_made() -> None:
    app, kind = KINDS_OF_OPERATION[SetKeys]
    with pytest.raises(BrokenInvariant):
        make_app(app, "twice", (), [(kind, lambda _a, _r: ""), (kind, lambda _a, _r: "")])


def test_text_of_others_is_escaped() -> None:
    assert quoted('a"\\\n\u202eb') == '"a\\"\\\\\\u{a}\\u{202e}b"'
