"""Reports alone, reports together, and the document that members sign (decision 0014)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol import errors
from protocol.codec import decode, encode
from protocol.consensus.statements import VoteKind
from protocol.crypto.contexts import Context
from protocol.ledger.accounts import ACCOUNTS
from protocol.ledger.genesis import network_id
from protocol.ledger.records import Block, account_name, header_hash
from protocol.ledger.state import StateTransaction
from protocol.restart.document import approvals, approve, open_document, restart_file
from protocol.restart.explain import explain_restart, restart_facts
from protocol.restart.opening import RestartRefused
from protocol.restart.records import RestartDocument, RestartFile, RestartReport, SignedReport
from protocol.restart.weighing import weigh
from tests.ledger.world import key
from tests.restart.made import TIP_VIEW, Old


@pytest.fixture(scope="module")
def old() -> Old:
    return Old()


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(RestartRefused) as caught:
        act()
    return caught.value.code, caught.value.words


# -- Reports ----------------------------------------------------------------------------------------


def test_two_of_four_keep_the_block_that_only_the_lost_may_know_to_be_final(old: Old) -> None:
    """The sixth block is notarized; whether the lost have finalized it nobody here knows: it is kept."""
    weighed = weigh(old.genesis, old.opened(old.report(0), old.report(1)))
    assert weighed.base.hash == header_hash(old.base)
    assert weighed.tip == old.tip
    assert weighed.certain
    assert [key for key, _ in weighed.lost] == [old.voters[2].public, old.voters[3].public]


def test_one_of_four_is_not_enough(old: Old) -> None:
    weighed = weigh(old.genesis, old.opened(old.report(0)))
    assert weighed.tip == old.tip
    assert not weighed.certain


def test_a_report_without_memory_helps_and_does_not_count(old: Old) -> None:
    """C-24: who forgot what it signed can't say that it did not finalize."""
    forgetful = old.report(1, old.held(1, remembers=False))
    weighed = weigh(old.genesis, old.opened(old.report(0), forgetful))
    assert [w.counts for w in weighed.witnesses] == [True, False]
    assert not weighed.certain


def test_a_vote_that_another_report_shows_and_its_own_lacks_is_noticed(old: Old) -> None:
    """Validator 1 hides its votes; the notarization in the other report has its signature."""
    liar = old.report(1, old.held(1, votes=False))
    weighed = weigh(old.genesis, old.opened(old.report(0), liar))
    words = next(w.words for w in weighed.witnesses if w.voting_key == old.voters[1].public)
    assert f"view {TIP_VIEW}" in words
    assert not weighed.certain


def test_a_notarized_block_whose_content_nobody_holds_is_told(old: Old) -> None:
    """Both have signed to finalize it: it may be final, so the restart is not certain without its batch."""
    held = [old.held(index) for index in (0, 1)]
    without = [replace(each, journal=(each.journal[0], *each.journal[2:])) for each in held]
    reports = [old.report(index, each) for index, each in enumerate(without)]
    weighed = weigh(old.genesis, old.opened(*reports))
    assert weighed.tip == old.base
    assert [cut.may_be_final for cut in weighed.cut] == [True]
    assert not weighed.certain


def test_what_nobody_here_finalized_is_known_not_to_be_final(old: Old) -> None:
    """The same without their finalize votes: two of four that did not sign leave no quorum."""
    reports = []
    for index in (0, 1):
        held = old.held(index)
        reports.append(old.report(index, replace(held, journal=(held.journal[0], held.journal[2], held.journal[3]))))
    weighed = weigh(old.genesis, old.opened(*reports))
    assert weighed.tip == old.base
    assert [cut.may_be_final for cut in weighed.cut] == [False]
    assert weighed.certain


def test_two_reports_of_one_key_and_two_histories_are_refused(old: Old) -> None:
    behind = old.report(0, old.held(0, knows_tip=False))
    code, _ = refused(lambda: weigh(old.genesis, old.opened(old.report(0), behind)))
    assert code == errors.RESTART_BAD_REPORT
    forged = replace(old.base, time_ms=old.base.time_ms + 1)
    held = old.held(1)
    other = old.certified(forged, VoteKind.FINALIZE, 11)

    block = encode(Block(encode(forged), (), encode(other)))
    forked = old.report(1, replace(held, blocks=(block,), journal=()))
    code, _ = refused(lambda: weigh(old.genesis, old.opened(old.report(0), forked)))
    assert code == errors.RESTART_FORKED


def test_a_report_verifies_by_itself(old: Old) -> None:
    """Another signer, another network, a certificate of too few, a vote of another: each is refused by name."""
    data = old.report(0)
    signed = decode(SignedReport, data)
    report = decode(RestartReport, signed.report)

    def resigned(changed: RestartReport, by: int = 0) -> bytes:
        content = encode(changed)
        return encode(SignedReport(content, old.voters[by].sign(Context.REPORT, changed.network_id, content)))

    few = old.certified(old.tip, VoteKind.NOTARIZE, TIP_VIEW, (0, 1))
    for wrong in (
        resigned(report, by=1),
        resigned(replace(report, network_id=bytes(32))),
        resigned(replace(report, certificates=(few,))),
        resigned(replace(report, votes=(old.vote(1, VoteKind.FINALIZE, TIP_VIEW, old.tip),))),
        data[:-1],
        data + b"\0",
    ):
        code, _ = refused(lambda wrong=wrong: old.opened(wrong))  # type: ignore[misc]
        assert code == errors.RESTART_BAD_REPORT


# -- Documents --------------------------------------------------------------------------------------


def test_the_new_network_id_commits_to_the_old_one_and_to_all_of_the_document(old: Old) -> None:
    """L-4: another word in the document is another network."""
    first = open_document(old.document())
    again = open_document(old.document())
    assert first.network_id == again.network_id
    ancestor = first.succession.ancestors[-1]
    assert (ancestor.network_id, ancestor.header) == (old.network_id, header_hash(old.tip))
    assert ancestor.executed == old.executed[-1]
    document = decode(RestartDocument, old.document())
    others = [replace(document, words="another"), replace(document, cut=(bytes(32),))]
    ids = {open_document(encode(other)).network_id for other in others} | {first.network_id, old.network_id}
    assert len(ids) == 4


def test_a_document_that_hides_its_uncertainty_is_refused(old: Old) -> None:
    data = old.document(old.report(0), decided=old.decided(lost=(1, 2, 3)), uncertain=True)
    opened = open_document(data)
    assert "What can't be known" in explain_restart(opened, ())
    hidden = encode(replace(decode(RestartDocument, data), uncertain=False))
    assert refused(lambda: open_document(hidden))[0] == errors.RESTART_UNCERTAIN


def test_a_document_altered_in_any_byte_is_refused_or_is_another(old: Old) -> None:
    """Every 37th byte: whatever still opens has another digest, so no signature of a member fits."""
    data = old.document()
    digest = open_document(data).digest
    for at in range(0, len(data), 37):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            assert open_document(altered).digest != digest
        except RestartRefused:
            continue


def test_results_members_and_time_have_to_fit(old: Old) -> None:
    document = decode(RestartDocument, old.document())
    decided = document.decided
    for wrong in (
        replace(document, kept=replace(document.kept, height=document.kept.height - 1)),
        replace(document, decided=replace(decided, created_ms=old.tip.time_ms)),
        replace(document, decided=replace(decided, begins=replace(decided.begins, log_size=1))),
        replace(document, council=document.council[:-3]),
        replace(document, reports=document.reports[::-1]),
    ):
        code, _ = refused(lambda wrong=wrong: open_document(encode(wrong)))  # type: ignore[misc]
        assert code == errors.RESTART_BAD_DOCUMENT


def test_an_account_neither_proven_nor_proven_absent_is_refused(old: Old) -> None:
    """Left out, the key that founded the account would sign alone, whatever keys and threshold the member has set."""
    document = decode(RestartDocument, old.document())
    open_document(encode(document))
    account = ACCOUNTS.key((account_name(old.account(0).public),))
    hidden = tuple(item for item in document.council if item.key != account)
    assert len(hidden) == len(document.council) - 1
    denied = tuple(replace(item, value=None) if item.key == account else item for item in document.council)
    for council in (hidden, denied):
        code, _ = refused(lambda council=council: open_document(encode(replace(document, council=council))))  # type: ignore[misc]
        assert code == errors.RESTART_BAD_DOCUMENT


def test_a_member_whose_account_has_no_record_signs_with_its_founding_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that joined and never set its keys: that there is no record is proven."""
    bare, put = account_name(key(100).public), StateTransaction.put
    with monkeypatch.context() as patch:
        patch.setattr(
            StateTransaction, "put", lambda *given: None if given[1:3] == (ACCOUNTS, (bare,)) else put(*given)
        )
        old = Old()
    document = decode(RestartDocument, old.document())
    assert [item.key for item in document.council if item.value is None] == [ACCOUNTS.key((bare,))]
    opened = open_document(encode(document))
    assert [len(voice.keys) for voice in opened.voices] == [0, 1, 1, 1]
    assert approvals(opened, [approve(opened, old.account(0))]) == ("m0",)
    hidden = replace(document, council=tuple(item for item in document.council if item.value is not None))
    assert refused(lambda: open_document(encode(hidden)))[0] == errors.RESTART_BAD_DOCUMENT


# -- Members ----------------------------------------------------------------------------------------


def test_members_sign_with_their_account_keys(old: Old) -> None:
    """Of four members three are asked for, the lost nodes' members too; keys come from the certified state."""
    opened = open_document(old.document())
    assert [voice.name for voice in opened.voices] == ["m0", "m1", "m2", "m3"]
    assert opened.needed == 3
    given = [approve(opened, old.account(index)) for index in (0, 3, 0)]
    assert approvals(opened, given) == ("m0", "m3")
    assert "TOO FEW" in explain_restart(opened, approvals(opened, given))
    facts = restart_facts(opened, approvals(opened, given))
    assert (facts["signed"], facts["needed"], facts["certain"]) == (["m0", "m3"], 3, True)
    data = decode(RestartFile, encode(restart_file(old.document(), given)))
    assert len(data.approvals) == 2


def test_signatures_of_others_or_of_other_documents_are_refused(old: Old) -> None:
    opened = open_document(old.document())
    assert refused(lambda: approve(opened, key(7)))[0] == errors.RESTART_NOT_APPROVED
    good = approve(opened, old.account(0))
    for wrong in (
        replace(good, member="m1"),
        replace(good, document=bytes(32)),
        replace(good, signature=bytes(64)),
        replace(good, key=key(7).public),
    ):
        assert refused(lambda wrong=wrong: approvals(opened, [wrong]))[0] == errors.RESTART_BAD_DOCUMENT  # type: ignore[misc]


def test_the_new_network_is_of_the_survivors(old: Old) -> None:
    succession = open_document(old.document()).succession
    assert {v.voting_key for v in succession.validators} == {old.voters[0].public, old.voters[1].public}
    assert [m.account for m in succession.members] == [voice.account for voice in open_document(old.document()).voices]
    assert succession.begins.state_root != old.executed[-1].state_root
    assert network_id(succession) != old.network_id
