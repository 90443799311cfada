"""A small network for tests: keys, genesis, a test application, and blocks made and executed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any

from protocol.codec import U63, Blob, Hash, Name, encode, record
from protocol.crypto.signing import SigningKey
from protocol.errors import ALREADY_EXISTS, ALREADY_RECORDED, FORBIDDEN, NOT_FOUND, Refused
from protocol.ledger.application import Application, Context, OperationKind, Rules, make_rules
from protocol.ledger.batch import open_batch, seal_batch
from protocol.ledger.envelope import seal_envelope
from protocol.ledger.execution import Execution, execute_block
from protocol.ledger.genesis import (
    DEFAULT_PARAMETERS,
    Genesis,
    GenesisMember,
    GenesisValidator,
    Parameters,
    RulesFrom,
    network_id,
    validator_set,
    validators_hash,
)
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import read_head
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import (
    EnvelopeBody,
    Executed,
    Header,
    Operation,
    Reference,
    account_name,
    header_hash,
)
from protocol.ledger.spaces import Also, Part, Space
from protocol.ledger.state import State

START_MS = 1_000_000


def key(number: int) -> SigningKey:
    """A signing key made from a small number."""
    return SigningKey(number.to_bytes(32, "big"))


@record(kind=250)
class Put:
    """Set `name` of the sender's to `value`."""

    name: Name
    value: Annotated[bytes, Blob(1024)]


@record(kind=251)
class Drop:
    """Remove `name` of the sender's."""

    name: Name


@record(kind=229)
class Tell:
    """Add a fact under `name` of the sender's, for ever."""

    name: Name
    value: Annotated[bytes, Blob(16_384)]


@record(kind=228)
class Fact:
    """What was told."""

    value: Annotated[bytes, Blob(32_768)]


@record(kind=252)
class Give:
    """Move units from the sender to `to`, both with consent if `both`."""

    to: Hash
    units: U63
    both: bool


@record(kind=253)
class Note:
    """What is stored under a name."""

    value: Annotated[bytes, Blob(1024)]


@record(kind=254)
class Units:
    """How many units an account has."""

    units: U63


NOTES = Space("test.note", Note, (Part("account", "bytes", "whose"), Part("name", "text", "its name")), "notes")
UNITS = Space("test.units", Units, (Part("account", "bytes", "whose"),), "units")


def said(value: bytes) -> bytes:
    """How a fact is found by what it says."""
    return sha256(value).digest()


FACTS = Space(
    "test.fact",
    Fact,
    (Part("account", "bytes", "whose"), Part("name", "text", "its name")),
    "facts",
    added=True,
    also=Also(
        "test.told",
        (Part("said", "bytes", "SHA-256 of what was told"), Part("account", "bytes", "by whom")),
        "facts by what they say, but for those that say nothing",
        lambda parts, fact: (said(fact.value), parts[0]) if fact.value else None,
    ),
)
FOREIGN = Space("other.space", Note, (Part("name", "text", "its name"),), "not the test application's")
MINT = 1_000


def _put(context: Context, state: State, arguments: Put) -> Units:
    state.put(NOTES, (context.account, arguments.name), Note(arguments.value))
    return Units(len(arguments.value))


def _tell(context: Context, state: State, arguments: Tell) -> None:
    if state.get(FACTS, (context.account, arguments.name)) is not None:
        raise Refused(ALREADY_EXISTS, f"a fact {arguments.name} is there")
    if arguments.value and state.find(FACTS, (said(arguments.value), context.account)) is not None:
        raise Refused(ALREADY_RECORDED, "it was told before")
    state.put(FACTS, (context.account, arguments.name), Fact(arguments.value))


def _drop(context: Context, state: State, arguments: Drop) -> None:
    if state.get(NOTES, (context.account, arguments.name)) is None:
        raise Refused(NOT_FOUND, f"no note {arguments.name}")
    state.delete(NOTES, (context.account, arguments.name))


def units_of(state: Any, account: bytes) -> int:
    """Units of an account; everyone begins with `MINT`."""
    found = state.get(UNITS, (account,))
    return MINT if found is None else int(found.units)


def _give(context: Context, state: State, arguments: Give) -> None:
    mine = units_of(state, context.account)
    state.put(UNITS, (context.account,), Units(max(0, mine - arguments.units)))
    if mine < arguments.units:
        raise Refused(FORBIDDEN, f"{mine} units, not {arguments.units}")
    state.put(UNITS, (arguments.to,), Units(units_of(state, arguments.to) + arguments.units))


def _boom(_context: Context, _state: State, _arguments: Drop) -> None:
    raise ZeroDivisionError("a planted bug")


def _trespass(_context: Context, state: State, arguments: Drop) -> None:
    state.put(FOREIGN, (arguments.name,), Note(b""))


def _both(arguments: Give) -> tuple[bytes, ...]:
    return (arguments.to,) if arguments.both else ()


def _check_put(arguments: Put) -> None:
    if arguments.name == "forbidden":
        raise Refused(FORBIDDEN, "this name is forbidden")


@dataclass(frozen=True)
class TestApplication:
    """An application with one operation for each thing the ledger has to withstand."""

    __test__ = False
    name: str = "test"
    words: str = "for tests"
    governs: bool = False
    spaces: tuple[Space[Any], ...] = (NOTES, UNITS, FACTS)
    operations: Mapping[str, OperationKind] = field(
        default_factory=lambda: {
            "put": OperationKind("put", Put, Units, "set a note", _put, check=_check_put, refusals=(FORBIDDEN,)),
            "drop": OperationKind("drop", Drop, None, "remove a note", _drop, refusals=(NOT_FOUND,)),
            "tell": OperationKind("tell", Tell, None, "add a fact", _tell, refusals=(ALREADY_EXISTS, ALREADY_RECORDED)),
            "give": OperationKind("give", Give, None, "give units", _give, consents=_both, refusals=(FORBIDDEN,)),
            "boom": OperationKind("boom", Drop, None, "fail as no application may", _boom),
            "trespass": OperationKind("trespass", Drop, None, "write what is not its own", _trespass),
        }
    )

    def genesis(self, genesis: Genesis, state: State) -> None:
        """One note of the network's name."""
        state.put(NOTES, (bytes(32), "network"), Note(genesis.name.encode()))


def make_genesis(members: int = 4, parameters: Parameters = DEFAULT_PARAMETERS, quota: int | None = None) -> Genesis:
    """Members m0, m1, ... of one key and one validator each, of power 1."""
    validators = [GenesisValidator(f"m{i}", key(200 + i).public, key(300 + i).public, 1) for i in range(members)]
    return Genesis(
        name="test",
        created_ms=START_MS,
        parameters=parameters,
        rules=(RulesFrom(1, 1),),
        members=tuple(GenesisMember(f"m{i}", (key(100 + i).public,), 1, quota) for i in range(members)),
        validators=tuple(sorted(validators, key=lambda v: v.voting_key)),
        observers=(),
    )


class World:
    """A chain of executed blocks over dictionaries. Every block's header names the results of the block below."""

    def __init__(self, genesis: Genesis | None = None, applications: Sequence[Application] | None = None) -> None:
        self.genesis = genesis or make_genesis()
        self.network_id = network_id(self.genesis)
        self.rules: Rules = make_rules(1, applications or [TestApplication()])
        self.tables = MemoryTables()
        first = genesis_state(self.genesis, self.rules)
        self.tables.apply(first.writes)
        self.executed: list[Executed] = [first.executed]
        self.headers: list[Header] = []
        self.blocks: list[tuple[Header, tuple[bytes, ...]]] = []

    @property
    def time_ms(self) -> int:
        """Block time of the newest block."""
        return read_head(self.tables).time_ms

    def envelope(
        self,
        number: int,
        operations: Sequence[tuple[str, Any]],
        *,
        signers: Sequence[SigningKey] = (),
        account: bytes | None = None,
        valid_until_ms: int | None = None,
        app: str = "test",
    ) -> bytes:
        """An encoded envelope of id `number`; by key(1) unless told otherwise, valid for a minute from now."""
        keys = sorted(signers or [key(1)], key=lambda k: k.public)
        body = EnvelopeBody(
            self.network_id,
            account or account_name(keys[0].public),
            number.to_bytes(16, "big"),
            self.time_ms + 60_000 if valid_until_ms is None else valid_until_ms,
            tuple(Operation(app, name, a if isinstance(a, bytes) else encode(a)) for name, a in operations),
            tuple(k.public for k in keys),
        )
        return seal_envelope(body, keys)

    def put(self, number: int, name: str = "a", value: bytes = b"x", **more: Any) -> bytes:
        """An envelope with one `put`."""
        return self.envelope(number, [("put", Put(name, value))], **more)

    def tell(self, number: int, *names: str, size: int = 1, **more: Any) -> bytes:
        """An envelope that tells a fact under each of these names, which says it."""
        told = [Tell(name, name.encode().ljust(size, b".")) for name in names]
        return self.envelope(number, [("tell", one) for one in told], **more)

    def batch(self, envelopes: Sequence[bytes], author: int = 0, expiry_height: int = 50) -> bytes:
        """An encoded batch sealed by the validator of member `author`."""
        return seal_batch(self.network_id, key(300 + author), expiry_height, envelopes)

    def header(self, batches: Sequence[bytes] = (), *, step_ms: int = 100, covered: int | None = None) -> Header:
        """The next header; `covered` is the height whose results it names, the newest unless told."""
        head = read_head(self.tables)
        references = []
        for data in batches:
            digest, body, _ = open_batch(data)
            references.append(Reference(body.author, digest, len(data), len(body.envelopes)))
        hashed = validators_hash(validator_set(self.genesis))
        return Header(
            rules=1,
            epoch=1,
            height=head.executed.height + 1,
            parent=head.header_hash,
            time_ms=head.time_ms + step_ms,
            proposer=self.genesis.validators[0].voting_key,
            references=tuple(references),
            executed=self.executed[-1 if covered is None else covered],
            validators_hash=hashed,
            next_validators_hash=hashed,
        )

    def execute(self, header: Header, batches: Sequence[bytes]) -> Execution:
        """Execute without applying."""
        return execute_block(self.network_id, self.genesis.parameters, self.rules, self.tables, header, batches)

    def block(self, *batches: bytes, step_ms: int = 100, covered: int | None = None) -> Execution:
        """Make the next block of these encoded batches, execute it and apply the result."""
        header = self.header(batches, step_ms=step_ms, covered=covered)
        done = self.execute(header, batches)
        assert done.executed.height == header.height
        self.tables.apply(done.writes)
        assert read_head(self.tables).header_hash == header_hash(header)
        self.executed.append(done.executed)
        self.headers.append(header)
        self.blocks.append((header, tuple(batches)))
        return done

    def run(self, *envelopes: bytes, author: int = 0, step_ms: int = 100) -> Execution:
        """One block with one batch of these envelopes; an empty block without any."""
        if not envelopes:
            return self.block(step_ms=step_ms)
        return self.block(self.batch(envelopes, author), step_ms=step_ms)

    def replay(self) -> MemoryTables:
        """All blocks again, from genesis, over other dictionaries."""
        tables = MemoryTables()
        tables.apply(genesis_state(self.genesis, self.rules).writes)
        for header, batches in self.blocks:
            done = execute_block(self.network_id, self.genesis.parameters, self.rules, tables, header, batches)
            tables.apply(done.writes)
        return tables
