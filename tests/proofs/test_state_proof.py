"""State proofs, at the height that the header covers, and proofs in words (L-20, L-21)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.codec import decode, encode
from protocol.errors import Refused
from protocol.ledger.added import PAGES, AddedPage, AddedRecord
from protocol.ledger.records import Header, account_name
from protocol.ledger.spaces import state_key
from protocol.ledger.undo import HistoricState
from protocol.proofs.build import finality_of, state_proof
from protocol.proofs.explain import explain, utc_text
from protocol.proofs.finality import ProofRefused
from protocol.proofs.records import StateProof
from protocol.proofs.verify import VerifiedState, verify_receipt_proof, verify_state_proof
from protocol.sim.raw import array
from tests.ledger.world import FACTS, NOTES, Fact, Note, key
from tests.proofs.chain import ProvenWorld

WORLD = ProvenWorld()
SPACES = WORLD.rules.spaces
MINE = account_name(key(1).public)
FIRST = NOTES.key((MINE, "a"))
SECOND = NOTES.key((MINE, "b"))


def made(at: bytes, height: int) -> bytes:
    """Proof under the header of `height`, which covers the height below."""
    return made_of(WORLD, at, WORLD.headers[height - 1])


def made_of(world: ProvenWorld, at: bytes, header: Header) -> bytes:
    """Proof under this header."""
    finality = finality_of(header, world.finalization(header))
    return state_proof(world.genesis, world.tables, at, finality, spaces=SPACES)


def shown_by(data: bytes) -> VerifiedState:
    return verify_state_proof(WORLD.genesis_bytes, data, spaces=SPACES)


def refused(data: bytes) -> str:
    with pytest.raises(ProofRefused) as caught:
        shown_by(data)
    return caught.value.code


def test_values_and_absence_at_each_covered_height() -> None:
    """L-20: a node gives the state of recent heights, not only the newest."""
    for height, present in ((1, (False, False)), (2, (True, False)), (3, (True, True))):
        for at, there in zip((FIRST, SECOND), present, strict=True):
            verified = shown_by(made(at, height))
            assert verified.height == height - 1
            assert verified.value == (encode(Note(b"x")) if there else None)


def one_bit_off(data: bytes) -> list[bytes]:
    """The file with one bit changed, at each byte."""
    return [data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :] for at in range(len(data))]


def test_any_altered_byte_is_refused() -> None:
    for data in one_bit_off(made(FIRST, 3)):
        refused(data)


def test_an_altered_absence_is_refused_or_speaks_truly_of_another_key() -> None:
    """One way through the trie shows the absence of all keys whose paths end on it: another key, another truth."""
    good = made(SECOND, 2)
    others = 0
    for data in one_bit_off(good):
        try:
            verified = shown_by(data)
        except ProofRefused:
            continue
        others += 1
        assert (verified.value, verified.height) == (None, 1)
        assert verified.key != SECOND
        assert decode(StateProof, data) == replace(decode(StateProof, good), key=verified.key)
        assert HistoricState(WORLD.tables, 1).value(verified.key) is None
    assert others < len(SECOND)


def test_another_value_or_presence() -> None:
    proof = decode(StateProof, made(FIRST, 3))
    assert refused(encode(replace(proof, value=encode(Note(b"y"))))) == "proof_not_in_state"
    assert refused(encode(replace(proof, value=None))) == "proof_not_in_state"
    absent = decode(StateProof, made(SECOND, 2))
    assert refused(encode(replace(absent, value=b""))) == "proof_not_in_state"
    assert refused(encode(replace(absent, key=FIRST))) == "proof_not_in_state"
    assert refused(encode(replace(absent, key=b"\x00"))) == "proof_malformed"


def test_a_key_that_no_space_makes_is_refused() -> None:
    """It is absent whatever is recorded, and in words it reads like the one that a space makes."""
    world, header = WORLD, WORLD.headers[-1]
    finality = finality_of(header, world.finalization(header))
    past = HistoricState(world.tables, header.executed.height)
    for key_ in (
        state_key("test.note", MINE.hex(), "a"),
        state_key(f"test.note/{MINE.hex()}", "a"),
        state_key("test.note", MINE, "a", "b"),
        state_key("test.fact", MINE, "a"),
        state_key("test.told", MINE, MINE),
        array_of_seventeen(),
    ):
        proof = StateProof(world.network_id, key_, None, None, past.prove(key_), finality)
        assert refused(encode(proof)) == "proof_malformed"
    unknown = StateProof(world.network_id, FIRST, None, None, past.prove(FIRST), finality)
    with pytest.raises(ProofRefused) as caught:
        verify_state_proof(world.genesis_bytes, encode(unknown))
    assert caught.value.code == "proof_malformed", "these rules know no space of tests"


def array_of_seventeen() -> bytes:
    """A key of an added record with more parts than any space has, whose head is longer."""
    return array(None, "test.fact", *range(15)).replace(b"\x9f", b"")


# -- Records that are only ever added ---------------------------------------------------------------

TOLD = FACTS.key((MINE, "fact"))


def told() -> tuple[ProvenWorld, bytes]:
    """A world with a page of two facts and an ordinary value, and the proof of one fact."""
    world = ProvenWorld()
    world.run(world.tell(20, "other", "fact"))
    world.run()
    header = world.headers[-1]
    return world, state_proof(
        world.genesis, world.tables, TOLD, finality_of(header, world.finalization(header)), spaces=SPACES
    )


def test_an_added_record_is_proven_by_its_page() -> None:
    _, data = told()
    shown = shown_by(data)
    assert (shown.key, shown.value, shown.height) == (TOLD, encode(Fact(b"fact")), 4)
    assert explain(shown).startswith("PRESENT: at height 4 the state held under test.fact/")
    for altered in one_bit_off(data):
        refused(altered)


def test_an_added_record_is_proven_by_nothing_else() -> None:
    """The state never has its key: that must not pass for the absence of the record."""
    world, data = told()
    proof, page = decode(StateProof, data), HistoricState(world.tables, 4)
    absent = replace(proof, value=None, within=None, proof=page.prove(TOLD))
    assert refused(encode(absent)) == "proof_not_in_state"
    assert refused(encode(replace(absent, value=proof.value))) == "proof_not_in_state"
    assert refused(encode(replace(proof, value=None))) == "proof_not_in_state"
    assert refused(encode(replace(proof, within=None))) == "proof_not_in_state"
    assert proof.within is not None
    page_key = PAGES.key((proof.within.height, proof.within.page))
    itself = replace(proof, key=page_key, value=proof.within.value, within=None)
    assert shown_by(encode(itself)).value == proof.within.value, "a page is a value"
    assert refused(encode(replace(itself, within=proof.within))) == "proof_not_in_state"


def test_the_page_has_to_hold_the_record() -> None:
    _, data = told()
    proof = decode(StateProof, data)
    assert refused(encode(replace(proof, key=FACTS.key((MINE, "other"))))) == "proof_not_in_state"
    assert refused(encode(replace(proof, value=encode(Fact(b"other"))))) == "proof_not_in_state"
    assert proof.within is not None
    moved = replace(proof.within, page=1)
    assert refused(encode(replace(proof, within=moved))) == "proof_not_in_state"
    false = encode(AddedPage((AddedRecord(TOLD, encode(Fact(b"lie"))),)))
    lie = replace(proof, value=encode(Fact(b"lie")), within=replace(proof.within, value=false))
    assert refused(encode(lie)) == "proof_not_in_state"
    assert refused(encode(replace(proof, within=replace(proof.within, value=b"?")))) == "proof_malformed"


@pytest.mark.parametrize("at, height, code", [(FACTS.key((MINE, "none")), 5, "not_found"), (TOLD, 4, "not_covered")])
def test_what_cannot_be_proven_of_it(at: bytes, height: int, code: str) -> None:
    """That there is none, ever; and one that no header covers yet."""
    world, _ = told()
    with pytest.raises(Refused) as caught:
        made_of(world, at, world.headers[height - 1])
    assert caught.value.code == code


def test_a_state_that_is_not_known_is_refused() -> None:
    header = replace(WORLD.covering, executed=replace(WORLD.covering.executed, height=77))
    with pytest.raises(Refused) as caught:
        state_proof(WORLD.genesis, WORLD.tables, FIRST, finality_of(header, WORLD.finalization(header)), spaces=SPACES)
    assert caught.value.code == "not_found"


def test_words_say_success_failure_presence_and_absence_first() -> None:
    good = explain(verify_receipt_proof(WORLD.genesis_bytes, WORLD.proof(0)))
    assert good.startswith("RECORDED: the transaction was applied, at height 1, position 0, 1970-01-01 00:16:40.100")
    assert "3 of 4 validators" in good
    bad = explain(verify_receipt_proof(WORLD.genesis_bytes, WORLD.proof(1)))
    assert bad.startswith("REFUSED")
    assert "forbidden" in bad
    assert "Operation 1, test.put: this name is forbidden" in bad
    assert explain(shown_by(made(FIRST, 3))).startswith("PRESENT: at height 2")
    assert explain(shown_by(made(SECOND, 2))).startswith("ABSENT: at height 1")


@pytest.mark.parametrize(
    "time_ms, words",
    [
        (0, "1970-01-01 00:00:00.000 UTC"),
        (951_827_696_789, "2000-02-29 12:34:56.789 UTC"),
        (1_709_251_199_999, "2024-02-29 23:59:59.999 UTC"),
        (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
    ],
)
def test_times_in_words(time_ms: int, words: str) -> None:
    assert utc_text(time_ms) == words
