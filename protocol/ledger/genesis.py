"""Genesis: what all nodes of a network share, and the network's id.

The genesis record is made from the `[genesis]` part of network.toml: names, parameters, members with their
keys, validators with their power, known observers, and which rules hold from which height on. Addresses and
comments are not in it. Its hash is the **network id**, which stands in everything signed (L-4).

`check_genesis` judges what a field's bounds cannot: order, distinct names and keys, usable points, a total
of power below 2^53, parameters that fit each other. A member's account is named `account_name(keys[0])`,
the hash of the first (lowest) of its keys, also when several keys must sign together (L-6).

A `ValidatorSet` is the part of the validators that votes are counted with (voting key and power). Its hash
stands in every header, so a proof can carry a later set and have it checked.

A network that goes on from another has a genesis that says more: `succession`.

Deliberately absent: where nodes listen, how a file is read, how rules are implemented.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated

from protocol import limits
from protocol.codec import U53, U63, Hash, Items, Key, Name, Range, encode, record, structure
from protocol.crypto.contexts import Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import is_valid_key
from protocol.errors import BrokenInvariant, OperatorFault
from protocol.ledger.records import account_name

FIRST_EPOCH = 1
FIRST_RULES = 1


@structure
class Parameters:
    """The network's choices below the hard bounds of `limits`; times in ms, heights in blocks.

    delta_ms: the delay within which messages and one full batch arrive in good times (consensus, Δ).
    idle_interval_ms: without work, an empty block after so long (C-15).
    backoff_max: most that timers are multiplied by (C-14).
    retry_interval_ms: what is unanswered is sent again after so long (C-12, L-14).
    batch_bytes, batch_wait_ms: a batch is sealed at so many bytes, or when its oldest envelope waited so long (L-11).
    relay_delay_ms: how long another author's batch holds an envelope back here, and a missing batch may be late
        (L-11, L-15, L-16).
    envelope_ttl_max_ms: how far ahead of block time `valid_until_ms` may be (L-7).
    batch_ttl_max: a batch can be referenced for so many heights (L-11).
    execution_lag_max: blocks with references that may be final and not covered by a header (L-18).
    clock_drift_max_ms: how far ahead of the local clock a header's time may be before it has to wait (L-18).
    block_references_max, block_bytes_max, block_envelopes_max: size of one block (L-18).
    state_quota_bytes: new state that a member's nodes may seal, unless genesis gives it a quota of its own (L-12).
    """

    delta_ms: Annotated[int, Range(1, 600_000)]
    idle_interval_ms: Annotated[int, Range(1, 24 * 3600 * 1000)]
    backoff_max: Annotated[int, Range(1, limits.BACKOFF_MAX)]
    retry_interval_ms: Annotated[int, Range(1, 600_000)]
    batch_bytes: Annotated[int, Range(1, limits.BATCH_BYTES_MAX)]
    batch_wait_ms: Annotated[int, Range(0, 60_000)]
    relay_delay_ms: Annotated[int, Range(1, 600_000)]
    envelope_ttl_max_ms: Annotated[int, Range(1_000, limits.ENVELOPE_TTL_MS_MAX)]
    batch_ttl_max: Annotated[int, Range(5, limits.BATCH_TTL_MAX)]
    execution_lag_max: Annotated[int, Range(1, limits.EXECUTION_LAG_MAX)]
    clock_drift_max_ms: Annotated[int, Range(0, 3_600_000)]
    block_references_max: Annotated[int, Range(1, limits.REFERENCES_MAX)]
    block_bytes_max: Annotated[int, Range(limits.BATCH_BYTES_MAX, limits.BLOCK_BYTES_MAX)]
    block_envelopes_max: Annotated[int, Range(limits.BATCH_ENVELOPES_MAX, limits.BLOCK_ENVELOPES_MAX)]
    state_quota_bytes: U63


DEFAULT_PARAMETERS = Parameters(
    delta_ms=250,
    idle_interval_ms=10_000,
    backoff_max=16,
    retry_interval_ms=500,
    batch_bytes=256 * limits.KIB,
    batch_wait_ms=5,
    relay_delay_ms=500,
    envelope_ttl_max_ms=3_600_000,
    batch_ttl_max=512,
    execution_lag_max=32,
    clock_drift_max_ms=2_000,
    block_references_max=limits.REFERENCES_MAX,
    block_bytes_max=4 * limits.MIB,
    block_envelopes_max=8_192,
    state_quota_bytes=16 * 1024 * limits.MIB,
)
"""What `network create` writes unless told otherwise."""


@structure
class RulesFrom:
    """Rules version `version` holds from `height` on (L-23)."""

    height: Annotated[int, Range(1, limits.U53_MAX)]
    version: Annotated[int, Range(1, 65535)]


@structure
class GenesisMember:
    """An institution: its name, the keys of its account (ascending), and how many of them must sign.

    state_quota_bytes: its own quota of state, None for the parameters' default.
    """

    name: Name
    keys: Annotated[tuple[Key, ...], Items(1, limits.ACCOUNT_KEYS_MAX)]
    threshold: Annotated[int, Range(1, limits.ACCOUNT_KEYS_MAX)]
    state_quota_bytes: U63 | None


@structure
class KeptMember(GenesisMember):
    """A member of a network that goes on from another (`succession`): its account may be named by a key long replaced.

    Without `keys` the state has no record of the account: the key whose hash names it acts.
    """

    keys: Annotated[tuple[Key, ...], Items(0, limits.ACCOUNT_KEYS_MAX)]
    account: Hash


@structure
class GenesisValidator:
    """A node that votes: whose it is, the key of its channel, the key of its votes, its power."""

    member: Name
    node_key: Key
    voting_key: Key
    power: Annotated[int, Range(1, limits.U53_MAX)]


@structure
class GenesisObserver:
    """A node that only follows; `member` is None when it is nobody's in particular."""

    member: Name | None
    node_key: Key


@record(kind=1)
class Genesis:
    """The network's beginning.

    Members ascend by name, validators by voting key, observers by node key, rules by height.
    """

    name: Name
    created_ms: U53
    parameters: Parameters
    rules: Annotated[tuple[RulesFrom, ...], Items(1, limits.RULES_VERSIONS_MAX)]
    members: Annotated[tuple[GenesisMember, ...], Items(1, limits.MEMBERS_MAX)]
    validators: Annotated[tuple[GenesisValidator, ...], Items(1, limits.VALIDATORS_MAX)]
    observers: Annotated[tuple[GenesisObserver, ...], Items(0, limits.OBSERVERS_MAX)]


@structure
class ValidatorPower:
    """One validator as votes are counted."""

    voting_key: Key
    power: Annotated[int, Range(1, limits.U53_MAX)]


@record(kind=9)
class ValidatorSet:
    """Who votes in an epoch, ascending by voting key."""

    validators: Annotated[tuple[ValidatorPower, ...], Items(1, limits.VALIDATORS_MAX)]


def network_id(genesis: Genesis) -> bytes:
    """The network's id: hash of its canonical genesis record (L-4)."""
    return digest(Domain.GENESIS, encode(genesis))


def validator_set(genesis: Genesis) -> ValidatorSet:
    """The set of the first epoch."""
    return ValidatorSet(tuple(ValidatorPower(v.voting_key, v.power) for v in genesis.validators))


def validators_hash(validators: ValidatorSet) -> bytes:
    """What a header names a validator set by (L-17)."""
    return digest(Domain.VALIDATORS, encode(validators))


def member_account(member: GenesisMember) -> bytes:
    """Name of a member's account: the hash of its first key (L-6)."""
    if isinstance(member, KeptMember):
        return member.account
    return account_name(member.keys[0])


def rules_version(genesis: Genesis, height: int) -> int:
    """The version of the rules that holds at `height` >= 1 (L-23)."""
    assert height >= 1, "rules hold for blocks, and blocks begin at height 1"
    return max(entry for entry in ((r.height, r.version) for r in genesis.rules) if entry[0] <= height)[1]


Where = tuple[str | int, ...]
"""The place of a fault in the record: names of fields, and indexes in its tuples."""
Fault = tuple[Where, str]


def members_decide(genesis: Genesis) -> bool:
    """Whether the members can change who takes part, under these rules or those to come: genesis says who did first."""
    return max(rules.version for rules in genesis.rules) > FIRST_RULES


def check_genesis(genesis: Genesis) -> None:
    """Raises OperatorFault with all that is wrong, one sentence each."""
    wrong = [words for _, words in genesis_faults(genesis)]
    if wrong:
        raise OperatorFault("genesis: " + "; ".join(wrong))


def genesis_faults(genesis: Genesis) -> list[Fault]:
    """All that is wrong: the place in the record and one sentence, for whoever can show the line of a file."""
    try:
        encode(genesis)
    except BrokenInvariant as fault:
        return [((), fault.words)]
    return [
        *parameter_faults(genesis.parameters),
        *_wrong_rules(genesis.rules),
        *_wrong_members(genesis.members),
        *_wrong_nodes(genesis),
    ]


def check_validator_set(validators: ValidatorSet) -> None:
    """Raises OperatorFault unless keys ascend, are usable, and the total of power is below 2^53."""
    wrong = [words for _, words in _wrong_powers(validators.validators)]
    if wrong:
        raise OperatorFault("validator set: " + "; ".join(wrong))


def parameter_faults(p: Parameters) -> list[Fault]:
    """Parameters that do not fit each other; what a bound of their own forbids is not looked at."""
    relations = [
        (
            p.batch_ttl_max > 4 * p.execution_lag_max,
            "batch_ttl_max",
            "must be more than 4 x execution_lag_max (L-11)",
        ),
        (
            p.retry_interval_ms >= p.delta_ms,
            "retry_interval_ms",
            "must be at least delta_ms, or what is on its way is sent again",
        ),
        (
            p.relay_delay_ms >= p.batch_wait_ms,
            "relay_delay_ms",
            "must be at least batch_wait_ms, or a batch counts as late before it is sealed",
        ),
        (
            p.envelope_ttl_max_ms >= 4 * p.delta_ms,
            "envelope_ttl_max_ms",
            "must be at least 4 x delta_ms, or envelopes expire on their way",
        ),
    ]
    return [(("parameters", name), f"{name} {words}") for holds, name, words in relations if not holds]


def _wrong_rules(rules: Sequence[RulesFrom]) -> list[Fault]:
    wrong: list[Fault] = []
    if rules[0].height != 1:
        wrong.append((("rules", 0, "height"), "the first rules must hold from height 1"))
    if not _ascending(r.height for r in rules) or not _ascending(r.version for r in rules):
        wrong.append((("rules",), "rules must ascend by height and by version"))
    return wrong


def _wrong_members(members: Sequence[GenesisMember]) -> list[Fault]:
    wrong: list[Fault] = []
    if not _ascending(m.name.encode() for m in members):
        wrong.append((("members",), "members must ascend by name, each name once"))
    accounts: set[bytes] = set()
    for index, member in enumerate(members):
        where = ("members", index)
        wrong += [((*where, *inside), f"member {member.name}: {words}") for inside, words in _wrong_member(member)]
        account = member_account(member)
        if account in accounts:
            words = "its first key is another member's first key too"
            wrong.append(((*where, "keys", 0), f"member {member.name}: {words}"))
        accounts.add(account)
    return wrong


def _wrong_member(member: GenesisMember) -> list[Fault]:
    wrong: list[Fault] = []
    if not _ascending(member.keys):
        wrong.append((("keys",), "keys must ascend, each once"))
    unknown = isinstance(member, KeptMember) and not member.keys and member.threshold == 1
    if member.threshold > len(member.keys) and not unknown:
        wrong.append((("threshold",), f"threshold {member.threshold} is more than its {len(member.keys)} keys"))
    if member.threshold > limits.SIGNERS_MAX:
        words = f"threshold {member.threshold} is more than an envelope's {limits.SIGNERS_MAX} signers"
        wrong.append((("threshold",), words))
    for index, key in enumerate(member.keys):
        if not is_valid_key(key):
            wrong.append((("keys", index), f"key {key.hex()} is not usable (L-3)"))
    return wrong


def _wrong_nodes(genesis: Genesis) -> list[Fault]:
    wrong = _wrong_powers([ValidatorPower(v.voting_key, v.power) for v in genesis.validators])
    names = {m.name for m in genesis.members}
    nodes: list[tuple[Where, bytes]] = []
    for index, validator in enumerate(genesis.validators):
        where: Where = ("validators", index)
        nodes.append(((*where, "node_key"), validator.node_key))
        if validator.member not in names:
            words = f"validator {validator.voting_key.hex()}: no member is named {validator.member}"
            wrong.append(((*where, "member"), words))
    for index, observer in enumerate(genesis.observers):
        where = ("observers", index)
        nodes.append(((*where, "node_key"), observer.node_key))
        if observer.member is not None and observer.member not in names:
            words = f"observer {observer.node_key.hex()}: no member is named {observer.member}"
            wrong.append(((*where, "member"), words))
    if not _ascending(o.node_key for o in genesis.observers):
        wrong.append((("observers",), "observers must ascend by node key, each once"))
    seen: set[bytes] = set()
    for where, key in nodes:
        if key in seen:
            wrong.append((where, "two nodes have the same node key"))
        if not is_valid_key(key):
            wrong.append((where, f"node key {key.hex()} is not usable (L-3)"))
        seen.add(key)
    return wrong


def _wrong_powers(validators: Sequence[ValidatorPower]) -> list[Fault]:
    wrong: list[Fault] = []
    if not _ascending(v.voting_key for v in validators):
        wrong.append((("validators",), "validators must ascend by voting key, each once"))
    if sum(v.power for v in validators) > limits.U53_MAX:
        wrong.append((("validators",), "the total of power must be below 2^53"))
    for index, validator in enumerate(validators):
        if not is_valid_key(validator.voting_key):
            words = f"voting key {validator.voting_key.hex()} is not usable (L-3)"
            wrong.append((("validators", index, "voting_key"), words))
    return wrong


def _ascending(items: Iterable[bytes] | Iterable[int]) -> bool:
    return all(low < high for low, high in pairwise(items))  # type: ignore[operator]
