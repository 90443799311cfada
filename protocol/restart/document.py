"""The restart document: what the members sign, and what follows from it (decision 0014).

    make_document(...) -> (bytes, Opened)    from weighed reports, the old state at the kept block, and what was decided
    open_document(bytes) -> Opened           everything in it verified, by itself; Opened.succession is the new genesis
    approve(...), approvals(...)             signatures of members, and whose they are

A document holds the old genesis, so a reader needs nothing else: he compares the old network's id with the one he
knows. What he cannot verify from it alone is `kept` and `decided.begins` (results of executing blocks, for which
nobody signed yet): every node that begins computes both again, and so can whoever audits the old blocks.

**Whose signatures count.** The old members' account keys, as the state of the newest certified header has them, with a
proof for each. Keys that were changed in the few blocks above are not seen by this; the new network has the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol.apps.members.changes import approvals_needed
from protocol.apps.members.records import COUNCIL
from protocol.codec import decode, encode
from protocol.crypto import trie
from protocol.crypto.contexts import Context, Domain
from protocol.crypto.hashing import digest
from protocol.crypto.signing import SigningKey, signing_message, verify_message
from protocol.errors import (
    RESTART_BAD_DOCUMENT,
    RESTART_NOT_APPROVED,
    RESTART_UNCERTAIN,
    Malformed,
    OperatorFault,
    Refused,
)
from protocol.ledger.accounts import ACCOUNTS
from protocol.ledger.genesis import Genesis, check_genesis, network_id
from protocol.ledger.index import read_head
from protocol.ledger.members import MEMBER_ACCOUNTS, MEMBERS
from protocol.ledger.records import account_name, header_hash
from protocol.ledger.spaces import parse_state_key
from protocol.ledger.succession import Ancestor, Succession, ancestors_of, check_succession, decode_genesis
from protocol.ledger.tables import Reader
from protocol.ledger.undo import HistoricState
from protocol.restart.beginning import member_names
from protocol.restart.opening import RestartRefused, open_report
from protocol.restart.records import (
    Decided,
    MemberApproval,
    Proven,
    RestartDocument,
    RestartFile,
    RestartReport,
    SignedReport,
)
from protocol.restart.weighing import Weighed, weigh


class Voice(NamedTuple):
    """A member of the old network and who signs for it; without `keys` the key whose hash names `account`."""

    name: str
    account: bytes
    keys: tuple[bytes, ...]
    threshold: int

    def may_sign(self, key: bytes) -> bool:
        """Whether this key is one of its account's."""
        return key in self.keys if self.keys else account_name(key) == self.account


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified document. needed: how many members the old network's rule asks for."""

    document: RestartDocument
    digest: bytes
    genesis: Genesis
    weighed: Weighed
    voices: tuple[Voice, ...]
    needed: int
    succession: Succession

    @property
    def network_id(self) -> bytes:
        """Id of the new network."""
        return network_id(self.succession)


# -- Making one -------------------------------------------------------------------------------------


def make_document(
    genesis: Genesis,
    reports: Iterable[bytes],
    reader: Reader,
    decided: Decided,
    *,
    cut: Sequence[bytes] = (),
    uncertain: bool = False,
    words: str = "",
) -> tuple[bytes, Opened]:
    """The document, encoded and opened.

    reader: the old network's state at the kept block. reports: encoded `SignedReport`s.
    Raises RestartRefused as `open_document` does: what is made is verified by what its readers use.
    """
    ordered = sorted(set(reports), key=_key_of)
    weighed = weigh(genesis, [open_report(genesis, data) for data in ordered])
    base = weighed.base.header
    kept = read_head(reader).executed
    document = RestartDocument(
        encode(genesis),
        tuple(ordered),
        kept,
        _prove_council(reader, base.executed.height),
        decided,
        tuple(sorted(set(cut))),
        uncertain,
        words,
    )
    data = encode(document)
    return data, open_document(data)


def _key_of(data: bytes) -> bytes:
    try:
        return decode(RestartReport, decode(SignedReport, data).report).voting_key
    except Malformed as fault:
        raise RestartRefused(RESTART_BAD_DOCUMENT, f"report: {fault.words}") from fault


def _prove_council(reader: Reader, height: int) -> tuple[Proven, ...]:
    """The members' rule and keys at a height, each with its proof; of an account without a record, that it has none."""
    state = HistoricState(reader, height)
    keys = [COUNCIL.key(())]
    for name in member_names(reader):
        value = state.value(MEMBERS.key((name,)))
        if value is None:
            continue
        account = decode(MEMBERS.record, value).account
        owner = state.value(MEMBER_ACCOUNTS.key((account,)))
        if owner is not None and decode(MEMBER_ACCOUNTS.record, owner).name == name:
            keys += [MEMBERS.key((name,)), MEMBER_ACCOUNTS.key((account,)), ACCOUNTS.key((account,))]
    return tuple(Proven(key, state.value(key), state.prove(key)) for key in keys)


# -- Reading one ------------------------------------------------------------------------------------


def open_document(data: bytes) -> Opened:
    """The verified document. Raises RestartRefused, with the code that says in which respect it fails."""
    try:
        document = decode(RestartDocument, data)
        genesis = decode_genesis(document.genesis)
    except (Malformed, OperatorFault) as fault:
        raise RestartRefused(RESTART_BAD_DOCUMENT, fault.words) from fault
    keys = [_key_of(report) for report in document.reports]
    if keys != sorted(set(keys)):
        raise RestartRefused(RESTART_BAD_DOCUMENT, "reports must ascend by voting key, each key once")
    weighed = weigh(genesis, [open_report(genesis, report) for report in document.reports])
    if not weighed.certain and not document.uncertain:
        words = "the reports do not show that everything final is kept, and the document does not say so"
        raise RestartRefused(RESTART_UNCERTAIN, words)
    needed, voices = _open_council(document, weighed)
    hashed = digest(Domain.RESTART, data)
    succession = _succession(genesis, document, weighed, hashed)
    return Opened(document, hashed, genesis, weighed, voices, needed, succession)


def _succession(genesis: Genesis, document: RestartDocument, weighed: Weighed, hashed: bytes) -> Succession:
    decided, tip = document.decided, weighed.tip
    ancestor = Ancestor(network_id(genesis), header_hash(tip), document.kept, hashed)
    succession = Succession(
        name=decided.name,
        created_ms=decided.created_ms,
        parameters=decided.parameters,
        rules=genesis.rules,
        members=decided.members,
        validators=decided.validators,
        observers=decided.observers,
        ancestors=(*ancestors_of(genesis), ancestor),
        begins=decided.begins,
    )
    checks = (
        (document.kept.height == tip.height, "the results kept are not those of the last kept block"),
        (decided.created_ms > tip.time_ms, "the new network is older than the last kept block"),
    )
    wrong = next((words for holds, words in checks if not holds), None)
    if wrong is not None:
        raise RestartRefused(RESTART_BAD_DOCUMENT, wrong)
    try:
        check_genesis(succession)
        check_succession(succession)
    except OperatorFault as fault:
        raise RestartRefused(RESTART_BAD_DOCUMENT, f"the new network: {fault.words}") from fault
    return succession


def _open_council(document: RestartDocument, weighed: Weighed) -> tuple[int, tuple[Voice, ...]]:
    """How many members must agree, and who they are, under the base's certified state root."""
    root = weighed.base.header.executed.state_root
    values: dict[bytes, bytes] = {}
    absent: set[bytes] = set()
    for item in document.council:
        if item.key in values or item.key in absent or not _is_proven(root, item):
            raise RestartRefused(RESTART_BAD_DOCUMENT, f"council: {item.key.hex()} is not proven, or stands twice")
        if item.value is None:
            absent.add(item.key)
        else:
            values[item.key] = item.value
    try:
        council = decode(COUNCIL.record, values[COUNCIL.key(())])
        voices = tuple(_voices(values, absent))
    except (KeyError, Malformed, Refused) as fault:
        raise RestartRefused(RESTART_BAD_DOCUMENT, "council: not what a state holds") from fault
    if len(voices) != council.members or 3 * len(voices) + 1 < len(document.council):
        words = f"council: {len(voices)} members are proven, the old network had {council.members}"
        raise RestartRefused(RESTART_BAD_DOCUMENT, words)
    return approvals_needed(council), voices


def _is_proven(root: bytes, item: Proven) -> bool:
    if item.value is None:
        return trie.verify_absence(root, item.key, item.proof)
    return trie.verify_inclusion(root, item.key, item.value, item.proof)


def _voices(values: dict[bytes, bytes], absent: set[bytes]) -> Iterable[Voice]:
    """Members with their accounts, each with a record or known to have none. Raises KeyError, Malformed."""
    for key in sorted(values):
        space, parts = parse_state_key(key)
        if space != MEMBERS.name or len(parts) != 1 or not isinstance(parts[0], str):
            continue
        account = decode(MEMBERS.record, values[key]).account
        if decode(MEMBER_ACCOUNTS.record, values[MEMBER_ACCOUNTS.key((account,))]).name != parts[0]:
            raise KeyError(key)
        key_of_account = ACCOUNTS.key((account,))
        record = None if key_of_account in absent else decode(ACCOUNTS.record, values[key_of_account])
        yield Voice(parts[0], account, () if record is None else record.keys, 1 if record is None else record.threshold)


# -- Approvals --------------------------------------------------------------------------------------


def approve(opened: Opened, key: SigningKey) -> MemberApproval:
    """The approval of the member whose account has this key. Raises RestartRefused if it is nobody's."""
    voice = next((voice for voice in opened.voices if voice.may_sign(key.public)), None)
    if voice is None:
        words = f"key {key.public.hex()} is no account key of a member of the old network"
        raise RestartRefused(RESTART_NOT_APPROVED, words)
    signature = key.sign(Context.APPROVAL, opened.weighed.network_id, opened.digest)
    return MemberApproval(opened.digest, voice.name, key.public, signature)


def approvals(opened: Opened, given: Iterable[MemberApproval]) -> tuple[str, ...]:
    """Names of members that have signed, with as many keys as their accounts ask for.

    Raises RestartRefused for an approval of another document, of nobody, or with a bad signature.
    """
    keys: dict[str, set[bytes]] = {}
    voices = {voice.name: voice for voice in opened.voices}
    for approval in given:
        voice = voices.get(approval.member)
        if approval.document != opened.digest:
            raise RestartRefused(RESTART_BAD_DOCUMENT, f"an approval of {approval.member} is of another document")
        if voice is None or not voice.may_sign(approval.key):
            words = f"an approval is by {approval.key.hex()}, which does not act for {approval.member}"
            raise RestartRefused(RESTART_BAD_DOCUMENT, words)
        message = signing_message(Context.APPROVAL, opened.weighed.network_id, opened.digest)
        if not verify_message(approval.key, message, approval.signature):
            raise RestartRefused(RESTART_BAD_DOCUMENT, f"the approval of {approval.member} has a bad signature")
        keys.setdefault(approval.member, set()).add(approval.key)
    return tuple(sorted(name for name, signed in keys.items() if len(signed) >= voices[name].threshold))


def restart_file(document: bytes, given: Iterable[MemberApproval]) -> RestartFile:
    """A document and its approvals in one file, each approval once."""
    distinct = {(approval.member.encode(), approval.key): approval for approval in given}
    return RestartFile(document, tuple(distinct[at] for at in sorted(distinct)))
