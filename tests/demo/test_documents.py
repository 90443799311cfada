"""EPCIS documents: whose they are, what is stated about them, and how they are cut into fields."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.config.problems import ConfigurationFault
from daemon.demo.data import DOCUMENTS
from daemon.demo.documents import (
    MEMBERS,
    OTHER_STEPS,
    Document,
    assign,
    disclosed_path,
    fields_of,
    read_document,
    read_documents,
    salted_statement_of,
    statement_of,
    step_name,
)
from protocol.apps.evidence.records import RecordEvidence
from protocol.apps.evidence.salted import salted_fields, verify_disclosure
from protocol.codec import encode


def document(folder: Path, content: Any, name: str = "a.json") -> Document:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_document(folder / name)


def with_steps(*steps: object) -> dict[str, object]:
    return {"type": "EPCISDocument", "epcisBody": {"eventList": [{"bizStep": step} for step in steps]}}


def test_the_carried_documents_go_to_four_members() -> None:
    documents = read_documents(DOCUMENTS)
    counts = {member: sum(each.member == member for each in documents) for member in MEMBERS}
    assert counts == {"carrier": 7, "city": 9, "factory": 13, "warehouse": 9}
    for each in documents:
        encode(RecordEvidence(None, bytes(16), statement_of(each)))
        assert statement_of(each).digest == hashlib.sha256((DOCUMENTS / each.name).read_bytes()).digest()


@pytest.mark.parametrize(
    "text",
    ["shipping", "https://ref.gs1.org/cbv/BizStep-shipping", "urn:epcglobal:cbv:bizstep:shipping", "ext1:shipping"],
)
def test_spellings_of_a_step(text: str) -> None:
    assert step_name(text) == "shipping"


def test_a_document_belongs_to_the_member_of_most_of_its_steps() -> None:
    assert assign(("shipping", "receiving", "unpacking")) == ("receiving", "warehouse")
    assert assign(("shipping", "receiving")) == ("shipping", "carrier"), "the first of equals"
    assert assign(("dancing", "receiving")) == ("receiving", "warehouse")
    assert assign(("dancing", "singing")) == ("dancing", OTHER_STEPS)
    assert assign(()) == ("", OTHER_STEPS)


def test_what_is_stated(tmp_path: Path) -> None:
    event = {"bizStep": "packing", "eventTime": "2013-06-08T14:58:56.591Z"}
    made = document(tmp_path, {"type": "EPCISDocument", "id": "urn:x:1", "epcisBody": {"eventList": [event]}})
    stated = statement_of(made)
    assert (stated.type, stated.step, stated.reference) == ("EPCISDocument", "packing", "urn:x:1")
    assert stated.event_time_ms == 1_370_703_536_591
    assert stated.size == len(made.data)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"epcisBody": {}},
        {"epcisBody": [1], "id": 5, "type": ["a"]},
        {"epcisBody": {"eventList": [1, None, {"bizStep": 4, "eventTime": "once"}]}},
        {"epcisBody": {"event": {"eventTime": "2013-06-08T14:58:56"}}},
        {"id": "x" * 300, "type": "\udc00"},
    ],
)
def test_odd_documents_are_still_evidence(tmp_path: Path, content: Any) -> None:
    made = document(tmp_path, content)
    assert made.member == OTHER_STEPS
    assert made.reference == "a.json"
    encode(RecordEvidence(None, bytes(16), statement_of(made)))


def test_a_single_event_and_a_long_step(tmp_path: Path) -> None:
    made = document(tmp_path, {"epcisBody": {"event": {"bizStep": "é" * 100}}})
    assert made.steps == ("é" * 100,)
    assert made.step == "é" * 64
    encode(RecordEvidence(None, bytes(16), statement_of(made)))


def test_fields_are_json_pointers_to_json_text(tmp_path: Path) -> None:
    made = document(tmp_path, '{"a/b": {"~": 1.10}, "c": [true, "x", {}, null], "d": 12345678901234567890}')
    assert fields_of(made) == {
        "/a~1b/~0": b"1.10",
        "/c/0": b"true",
        "/c/1": b'"x"',
        "/c/2": b"{}",
        "/c/3": b"null",
        "/d": b"12345678901234567890",
    }


def test_fields_past_the_bounds_are_left_out(tmp_path: Path) -> None:
    made = document(tmp_path, {"p" * 600: 1, "big": "v" * 70_000, "half": "\ud800", "\ud800": 1, "": 2})
    assert fields_of(made) == {"/half": b'"\\ud800"', "/": b"2"}


def test_which_field_is_disclosed() -> None:
    reading = "/epcisBody/eventList/0/sensorElementList/0/sensorReport/1/value"
    assert disclosed_path({"/id": b"", "/e/0/bizStep": b"", reading: b""}) == reading
    assert disclosed_path({"/id": b"", "/e/0/bizStep": b""}) == "/e/0/bizStep"
    assert disclosed_path({"/id": b"", "/x": b""}) == "/id"


def test_every_field_of_the_largest_document_can_be_disclosed() -> None:
    made = max(read_documents(DOCUMENTS), key=lambda each: len(fields_of(each)))
    fields = fields_of(made)
    salts = {path: hashlib.sha256(path.encode()).digest() for path in fields}
    root, disclosures = salted_fields(fields, salts)
    encode(RecordEvidence(None, bytes(16), salted_statement_of(made, root, len(fields))))
    assert len(disclosures) == len(fields) == 389
    assert all(verify_disclosure(root, disclosure) for disclosure in disclosures)


def test_all_problems_of_a_directory_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1,\n  oops}', encoding="utf-8")
    (tmp_path / "b.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "d.json").mkdir()
    with pytest.raises(ConfigurationFault) as caught:
        read_documents(tmp_path)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 4
    assert told[0].startswith(f"{tmp_path / 'a.json'}:2:3: expected JSON")
    assert "expected a JSON object; found list" in told[1]
    with pytest.raises(ConfigurationFault, match="a directory with"):
        read_documents(tmp_path / "nowhere")
