"""`papilio submit`: options from the description of operations, without any node."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.operation_options import arguments_from, default_of, form_words, leaves, required
from daemon.cli.submit import describe_apps, operation_command
from daemon.client import Account, evidence
from protocol.apps.registry import RULES
from protocol.codec.json import from_json, json_schema, to_json
from protocol.ledger.describe import operation_from_json
from tests.cli.calling import Call

NOWHERE = ["--node", "http://127.0.0.1:1", "--timeout", "0.2"]
APPS = describe_apps()
OPERATIONS = [(app, operation) for app in APPS.values() for operation in app["operations"]]
every_operation = pytest.mark.parametrize(
    ("app", "operation"), OPERATIONS, ids=lambda part: part["name"] if "arguments" in part else None
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    Account.create(tmp_path / "alice.key")
    return tmp_path / "alice.key"


@every_operation
def test_every_operation_has_a_command_with_all_its_fields(call: Call, app: Any, operation: Any) -> None:
    said = call("submit", app["name"], operation["name"], "--help")
    assert said.code == 0
    assert operation["words"].split()[0] in said.out
    for leaf in leaves(operation["arguments"]):
        assert f"--{leaf.option} " in said.out
    for refusal in operation["refusals"]:
        assert refusal["code"] in said.out
    names = [option for param in operation_command(app["name"], operation).params for option in param.opts]
    assert len(set(names)) == len(names), "no option hides another"


@every_operation
def test_the_example_has_all_that_an_operation_needs(call: Call, app: Any, operation: Any) -> None:
    said = call("submit", app["name"], operation["name"], "--help").out
    example = said.partition("Example:\n")[2].partition("\n\n")[0]
    words = shlex.split(example.replace("\\\n", " "))
    assert words[:4] == ["papilio", "submit", app["name"], operation["name"]]
    options = {word for word in words if word.startswith("--")}
    needed = {f"--{leaf.option}" for leaf in required(operation["arguments"])}
    if "--digest-of" in options:
        needed -= {"--algorithm", "--digest", "--size"}
        options.remove("--digest-of")
    assert options == {*needed, "--key"}


def test_what_a_document_gives_is_not_said_to_be_required(call: Call) -> None:
    said = " ".join(call("submit", "evidence", "record", "--help").out.split())
    assert said.count("Required, unless --digest-of is given.") == 3
    assert said.count("Required.") == 1, "the key"


def filled(schema: Any) -> str:
    """A value of a schema, as a person types it."""
    for part in schema.get("anyOf", ()):
        if part.get("type") == "integer":
            return str(part["minimum"])
    schema = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    kind = schema.get("type")
    if kind == "object":
        return json.dumps({name: json.loads(_json(inner)) for name, inner in schema["properties"].items()})
    if kind == "integer":
        return str(schema["minimum"])
    if kind == "boolean":
        return "true"
    return "00" * (schema["maxLength"] // 2) if "pattern" in schema else "x"


def _json(schema: Any) -> str:
    text = filled(schema)
    return text if text.isdecimal() and len(text) < 20 and "pattern" not in schema else json.dumps(text)


@every_operation
def test_what_options_say_is_what_a_node_takes(app: Any, operation: Any) -> None:
    """Every field given, and every field left out that may be: both make arguments of the operation."""
    schema = operation["arguments"]
    everything: dict[str, Any] = {}
    for leaf in leaves(schema):
        is_array = leaf.schema.get("type") == "array"
        everything[leaf.parameter] = (filled(leaf.schema["items"]),) if is_array else filled(leaf.schema)
    needed = {
        leaf.parameter: everything[leaf.parameter]
        for leaf in leaves(schema)
        if not isinstance(default_of(leaf), str | list | None)
    }
    for given_ in (everything, needed):
        arguments = arguments_from(schema, given_)
        made = operation_from_json(RULES[max(RULES)], app["name"], operation["name"], arguments)
        assert (made.app, made.name) == (app["name"], operation["name"])


def test_missing_options_are_named_all_at_once() -> None:
    schema = json_schema(evidence.Record)
    with pytest.raises(click.UsageError, match=r"--algorithm \(an integer from 1 to 2\), --digest \(32 bytes in hex\)"):
        arguments_from(schema, {})


@given(
    identifier=st.binary(min_size=16, max_size=16),
    words=st.text(max_size=60),
    until=st.none() | st.integers(0, 2**53 - 1),
)
def test_any_value_arrives_as_given(identifier: bytes, words: str, until: int | None) -> None:
    made = evidence.Revoke(None, identifier, 3, words)
    schema = json_schema(evidence.Revoke)
    options = {"field_id": identifier.hex(), "field_reason": "3", "field_words": words or None}
    assert from_json(evidence.Revoke, arguments_from(schema, options)) == made
    grant = evidence.Grant(bytes(32), 5, until)
    given_ = {
        "field_delegate": f"account:{'00' * 32}",
        "field_rights": "5",
        "field_until_ms": None if until is None else str(until),
    }
    assert arguments_from(json_schema(evidence.Grant), given_) == to_json(grant)


def test_a_field_that_is_called_as_an_option() -> None:
    """An application of tomorrow may have a field `key`, or the same name in two structures."""
    text = {"type": "string", "minLength": 1, "maxLength": 9}
    inner = {"type": "object", "properties": {"name": text}}
    schema = {"properties": {"key": text, "one": inner, "two": inner}}
    assert [leaf.option for leaf in leaves(schema)] == ["field-key", "one-name", "two-name"]
    given_ = {"field_key": "a", "field_one_name": "b", "field_two_name": "c"}
    assert arguments_from(schema, given_) == {"key": "a", "one": {"name": "b"}, "two": {"name": "c"}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rights", "x", "--delegate", "00" * 32], "--rights: expected an integer from 1 to 7"),
        (["--rights", "9", "--delegate", "00" * 32], "rights: expected an integer from 1 to 7"),
        (["--rights", "1", "--delegate", "zz"], "delegate: expected 32 bytes in lower-case hex"),
        ([], "missing: --delegate (32 bytes in hex), --rights (an integer from 1 to 7)"),
    ],
)
def test_wrong_values_are_said_in_words(call: Call, key: Path, arguments: list[str], words: str) -> None:
    said = call("submit", "evidence", "grant", *arguments, "--key", key, *NOWHERE)
    assert said.code in (1, 2)
    assert words in said.err
    assert said.out == ""


def test_the_key_is_needed_and_private(call: Call, key: Path, tmp_path: Path) -> None:
    said = call("submit", "evidence", "withdraw", "--delegate", "00" * 32, *NOWHERE)
    assert (said.code, "missing: --key" in said.err) == (2, True)
    key.chmod(0o644)
    said = call("submit", "evidence", "withdraw", "--delegate", "00" * 32, "--key", key, *NOWHERE)
    assert (said.code, "chmod 600" in said.err) == (78, True)
    key.chmod(0o600)
    other = tmp_path / "other.key"
    Account.create(other)
    said = call("submit", "evidence", "withdraw", "--delegate", "00" * 32, "--key", key, "--key", other, *NOWHERE)
    assert (said.code, "give its name" in said.err) == (78, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is not JSON"), ("[]", "expected"), ("[1]", "expected"), ('{"app": "evidence"}', "an operation is")],
)
def test_files_that_hold_no_operation(call: Call, key: Path, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "operations.json"
    file.write_text(text)
    said = call("submit", "--file", file, "--key", key, *NOWHERE)
    assert said.code in (1, 78)
    assert words in said.err
    assert (call("submit", "--file", tmp_path / "none", "--key", key).code) == 78


def test_what_to_submit_has_to_be_said(call: Call, key: Path) -> None:
    assert "say what" in call("submit", "--key", key).err
    assert "--file goes without one" in call("submit", "--file", key, "evidence", "withdraw").err
    said = call("submit", "evidence", "burn")
    assert (said.code, "No such command 'burn'" in said.err) == (2, True)


def test_a_document_that_is_not_there(call: Call, key: Path, tmp_path: Path) -> None:
    said = call("submit", "evidence", "record", "--digest-of", tmp_path / "none.pdf", "--key", key, *NOWHERE)
    assert (said.code, "none.pdf cannot be read: no such file" in said.err) == (78, True)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "items": {"type": "boolean"}}, "true or false, may be repeated"),
        ({"type": "string", "pattern": "^([0-9a-f]{2})*$", "minLength": 0, "maxLength": 8}, "0 to 4 bytes in hex"),
        ({"type": "string", "minLength": 0, "maxLength": 8}, "text of at most 8 bytes"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "JSON with a, b"),
    ],
)
def test_words_for_forms(schema: Any, words: str) -> None:
    assert form_words(schema) == words
