"""network.toml: what its id commits to (L-4), and every problem at its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.files import FILE_BYTES_MAX
from daemon.config.genesis import to_record, to_table
from daemon.config.network import NetworkFile, load_network
from daemon.config.problems import ConfigurationFault, Problem
from daemon.config.tables import GenesisTable, ParametersTable
from daemon.config.texts import NETWORK_ID
from daemon.config.values import from_ms, to_ms
from daemon.config.write import to_toml
from protocol.ledger import genesis as ledger
from tests.config.made import change, line_of, network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return network(tmp_path / "net").file


def problems(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationFault) as caught:
        load_network(file)
    return caught.value.problems


def only(file: Path) -> Problem:
    found = problems(file)
    assert len(found) == 1, found
    return found[0]


def without_id(file: Path) -> None:
    text = file.read_text()
    file.write_text("".join(line for line in text.splitlines(True) if not line.startswith("network_id")))


def test_written_and_read_is_the_same(file: Path) -> None:
    found = load_network(file)
    assert to_record(to_table(found.genesis)) == found.genesis
    assert [v.member for v in found.genesis.validators if v.power == 1].sort() == ["bank", "customs"].sort()
    assert sorted(str(address) for address in found.addresses.values()) == [f"127.0.0.1:{7100 + i}" for i in range(3)]


def test_l4_the_id_is_the_hash_of_the_record_and_addresses_and_comments_are_not_in_it(file: Path) -> None:
    before = load_network(file)
    assert before.network_id == ledger.network_id(before.genesis)
    change(file, "127.0.0.1:7101", "elsewhere.example:1", 99)
    file.write_text("# more words\n" + file.read_text())
    assert load_network(file).network_id == before.network_id


def test_l4_the_order_of_tables_and_keys_has_no_meaning(file: Path) -> None:
    before = load_network(file)
    value = to_table(before.genesis)
    turned = {name: tuple(reversed(getattr(value, name))) for name in ("members", "validators", "observers")}
    file.write_text(to_toml(NetworkFile(genesis=value.model_copy(update=turned)), comments=False))
    assert load_network(file).genesis == before.genesis


def test_a_changed_genesis_does_not_fit_its_id(file: Path) -> None:
    before = load_network(file)
    change(file, "idle_interval_ms = 10000", "idle_interval_ms = 9999")
    found = only(file)
    assert (found.key, found.line) == ("network_id", line_of(file, "network_id = "))
    assert NETWORK_ID.format(before.network_id) in found.found
    without_id(file)
    assert load_network(file).network_id != before.network_id


def test_all_problems_at_once_each_with_its_line(file: Path) -> None:
    change(file, "delta_ms = 250", "delta_msec = 250")
    change(file, 'name = "customs"', 'nam = "customs"')
    change(file, "batch_bytes = 262144", 'batch_bytes = "many"')
    change(file, "power = 1", "power = 0")
    change(file, "threshold = 1", "threshold = 1.0")
    change(file, "ed25519:", "ed25519;")
    found = {problem.key: problem for problem in problems(file)}
    expected = {
        "genesis.parameters.delta_msec": ("delta_msec =", "a known key", "delta_msec"),
        "genesis.parameters.batch_bytes": ("batch_bytes =", "an integer", '"many"'),
        "genesis.members[1].nam": ("nam =", "a known key", "nam"),
        "genesis.validators[0].power": ("power = 0", "at least 1", "0"),
        "genesis.members[0].threshold": ("threshold = 1.0", "an integer", "1.0"),
    }
    for key, (text, words, what) in expected.items():
        assert found[key].line == line_of(file, text)
        assert found[key].expected == words
        assert found[key].found == what
    assert found["genesis.parameters.delta_msec"].nearest == "genesis.parameters.delta_ms"
    assert found["genesis.members[1].nam"].nearest == "genesis.members[1].name"
    assert found["genesis.parameters.delta_ms"].found == "nothing"
    assert found["genesis.members[1].name"].found == "nothing"
    assert "does not begin with ed25519:" in found["genesis.members[0].keys[0]"].found
    assert len(found) == len(expected) + 3


def test_the_column_is_that_of_the_value(file: Path) -> None:
    change(file, "power = 1", "power = 0")
    assert only(file).column == len("power = ") + 1


def test_the_nearest_key_may_stand_in_another_table(file: Path) -> None:
    change(file, "[genesis]\n", "[genesis]\ndelta_mss = 3\n")
    assert only(file).nearest == "genesis.parameters.delta_ms"


def test_unknown_keys_do_not_hide_what_does_not_fit_together(file: Path) -> None:
    without_id(file)
    change(file, "[genesis]\n", "[genesis]\ncolour = 3\n")
    change(file, 'member = "bank"', 'member = "bnk"')
    change(file, "retry_interval_ms = 500", "retry_interval_ms = 1")
    found = {problem.key: problem for problem in problems(file)}
    assert set(found) == {"genesis.colour", "genesis.validators[0].member", "genesis.parameters.retry_interval_ms"} or (
        "genesis.validators[1].member" in found
    )
    assert found["genesis.parameters.retry_interval_ms"].line == line_of(file, "retry_interval_ms")
    assert "at least delta_ms" in found["genesis.parameters.retry_interval_ms"].found


def test_faults_of_the_record_have_the_line_of_the_file_whatever_its_order(file: Path) -> None:
    value = to_table(load_network(file).genesis)
    members = list(reversed(value.members))
    members[0] = members[0].model_copy(update={"threshold": 2})
    file.write_text(to_toml(NetworkFile(genesis=value.model_copy(update={"members": tuple(members)})), comments=False))
    found = only(file)
    assert found.key == "genesis.members[0].threshold"
    assert found.line == line_of(file, "threshold = 2")
    assert "more than its 1 keys" in found.found


@pytest.mark.parametrize(
    ("array", "key"),
    [("members", "name"), ("validators", "voting_key"), ("observers", "node_key"), ("rules", "height")],
)
def test_what_stands_twice_is_shown_where_it_stands_again(file: Path, array: str, key: str) -> None:
    value = to_table(load_network(file).genesis)
    tables = getattr(value, array)
    changed = value.model_copy(update={array: (*tables, tables[0])})
    file.write_text(to_toml(NetworkFile(genesis=changed), comments=False))
    assert f"genesis.{array}[{len(tables)}].{key}" in {problem.key for problem in problems(file)}


def test_a_node_twice_in_the_addresses(file: Path) -> None:
    text = file.read_text()
    table = text[text.rindex("[[nodes]]") :]
    file.write_text(text + "\n" + table)
    assert only(file).key == "nodes[3].node_key"


def test_a_key_that_is_no_usable_point(file: Path) -> None:
    without_id(file)
    key = load_network(file).genesis.validators[0].voting_key
    change(file, key.hex(), "01" + "00" * 31)  # the identity: canonical, and of no use (L-3)
    found = only(file)
    assert found.line == line_of(file, "ed25519:01000000")
    assert "not usable" in found.found


def test_what_is_not_toml(file: Path) -> None:
    change(file, "delta_ms = 250", "delta_ms = = 250")
    found = only(file)
    assert (found.line, found.expected) == (line_of(file, "= ="), "TOML")


def test_what_is_not_text(file: Path) -> None:
    line = line_of(file, "delta_ms")
    file.write_bytes(file.read_bytes().replace(b"delta_ms", b"delta_\xff", 1))
    found = only(file)
    assert (found.line, found.column, found.found) == (line, 7, "the byte 0xff")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    assert only(tmp_path / "none.toml").found == "no such file or directory"
    assert only(tmp_path).found == "is a directory"


def test_a_file_without_bound(tmp_path: Path) -> None:
    (tmp_path / "big.toml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert only(tmp_path / "big.toml").found == "more"


def test_a_time_is_whole_milliseconds_with_its_offset(file: Path) -> None:
    created = file.read_text().split("created = ")[1].split("\n")[0]
    without_id(file)
    before = load_network(file)
    change(file, created, "2026-01-01T01:00:00+01:00")
    assert load_network(file).genesis == before.genesis
    for wrong in (
        "2026-01-01T00:00:00",
        "2026-01-01",
        "2026-01-01T00:00:00.0001Z",
        "1969-12-31T00:00:00Z",
        '"2026"',
        "1",
    ):
        change(file, file.read_text().split("created = ")[1].split("\n")[0], wrong)
        assert only(file).key == "genesis.created"


@given(st.integers(0, 2**47))
def test_times_there_and_back(time_ms: int) -> None:
    assert to_ms(from_ms(time_ms)) == time_ms


def test_the_tables_bounds_are_the_records_bounds() -> None:
    """A value that the file lets through is one that the record takes, and the other way round."""
    from protocol.codec.fields import Range

    hints = ledger.Parameters.__annotations__
    for name, field in ParametersTable.model_fields.items():
        low, high = (next(getattr(m, b) for m in field.metadata if hasattr(m, b)) for b in ("ge", "le"))
        annotation = eval(hints[name], vars(ledger)) if isinstance(hints[name], str) else hints[name]
        (bound,) = (m for m in annotation.__metadata__ if isinstance(m, Range))
        assert (low, high) == (bound.low, bound.high), name
    assert list(ParametersTable.model_fields) == list(hints)


def test_nothing_in_genesis_has_a_default_but_what_may_be_absent() -> None:
    going_on = {"ancestors", "begins", "members.account"}  # only of a network that goes on from another
    optional = {"members.state_quota_bytes", "observers.member", "observers", *going_on}
    found = set()
    for name, field in GenesisTable.model_fields.items():
        if not field.is_required():
            found.add(name)
        for inner in getattr(field.annotation, "__args__", (field.annotation,)):
            for key, value in getattr(inner, "model_fields", {}).items():
                if not value.is_required():
                    found.add(f"{name}.{key}")
                    assert value.default is None
    assert found == optional
