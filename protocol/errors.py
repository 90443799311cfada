"""Errors, named by whose fault they are, and the one table of codes (L-10).

Every refusal, wherever it happens (API, pool, execution, channel, command line), carries a code from
`CODES`: its meaning, whose fault it is, and whether to try again. Codes are part of the product's
stability promise: one is never renamed or given another meaning; a new one is added.

Four families of exception, by fault:

* `PeerFault`: another node sent something wrong. The sender is charged; the node goes on.
* `ClientFault`: a client did. The client is told; the node goes on.
* `OperatorFault`: a file, a key, a command is wrong. The command ends with words that say what to do.
* `BrokenInvariant`: ours. The node stops before it signs or writes anything more.

`Malformed` is neutral: bytes are not what they claim to be; the caller knows whose bytes they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Whose fault a refusal is."""

    CLIENT = "client"
    PEER = "peer"
    OPERATOR = "operator"
    NETWORK = "network"
    NODE = "node"


class Retry(Enum):
    """What the one refused can do."""

    NEVER = "never"
    """The same content will never be accepted."""
    LATER = "later"
    """The same content may be accepted later, here."""
    ELSEWHERE = "elsewhere"
    """The same content may be accepted by another node now."""
    CHANGED = "changed"
    """A corrected content, signed anew under a new id, may be accepted."""


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table: a stable name, its meaning, whose fault, whether to try again."""

    name: str
    meaning: str
    fault: Fault
    retry: Retry


class PapilioError(Exception):
    """Base of all errors that carry a code and words."""

    code: str = "internal_error"

    def __init__(self, words: str, *, code: str | None = None) -> None:
        super().__init__(words)
        self.words = words
        if code is not None:
            self.code = code


class Malformed(PapilioError):
    """Bytes that are not a canonical record; `field` says where (dotted path)."""

    code = "malformed"

    def __init__(self, field: str, words: str) -> None:
        super().__init__(f"{field}: {words}" if field else words)
        self.field = field


class PeerFault(PapilioError):
    """Another node broke the protocol."""

    code = "peer_fault"


class ClientFault(PapilioError):
    """A client's request cannot be honoured."""

    code = "bad_request"


class OperatorFault(PapilioError):
    """A file, key or command of the operator is wrong; the words say what to do."""

    code = "operator_fault"


class BrokenInvariant(PapilioError):
    """A promise of ours does not hold. The node stops before it signs or writes more."""

    code = "broken_invariant"


class Refused(PapilioError):
    """An operation or envelope is refused with a code of the table."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words, code=code)


CODES: dict[str, Code] = {}


def define(name: str, fault: Fault, retry: Retry, meaning: str) -> str:
    """Add a row to the table and return its name.

    Raises BrokenInvariant if the name is taken: two meanings for one code is our bug.
    """
    if name in CODES:
        raise BrokenInvariant(f"code {name!r} is defined twice")
    CODES[name] = Code(name, meaning, fault, retry)
    return name


# A table: one row a line.
# fmt: off
# Outcomes of an envelope that are not failures.
OK = define("ok", Fault.NODE, Retry.NEVER, "applied; the receipt holds its results")

# Form, before anything else is looked at.
MALFORMED = define("malformed", Fault.CLIENT, Retry.CHANGED, "the bytes are not a canonical record; the words name the field")
TOO_LARGE = define("too_large", Fault.CLIENT, Retry.CHANGED, "larger than the limit that the words name")
WRONG_NETWORK = define("wrong_network", Fault.CLIENT, Retry.CHANGED, "the envelope names another network id than this network's")
BAD_SIGNATURE = define("bad_signature", Fault.CLIENT, Retry.CHANGED, "a signature does not verify under the rule L-3")

# Time window and identity (L-7).
EXPIRED = define("expired", Fault.CLIENT, Retry.CHANGED, "valid_until_ms is not after block time; sign anew with a later one")
TOO_FAR_AHEAD = define("too_far_ahead", Fault.CLIENT, Retry.CHANGED, "valid_until_ms is further ahead than the network's envelope_ttl_max_ms")
CONFLICT = define("conflict", Fault.CLIENT, Retry.CHANGED, "the same (account, id) was used with other content; choose a new id")
DUPLICATE = define("duplicate", Fault.CLIENT, Retry.NEVER, "already final; the first receipt stands")
NOT_AUTHORISED = define("not_authorised", Fault.CLIENT, Retry.CHANGED, "these signers may not act for this account")
QUOTA_EXCEEDED = define("quota_exceeded", Fault.NETWORK, Retry.ELSEWHERE, "the member whose node sealed it has used its state quota")

# Pressure.
POOL_FULL = define("pool_full", Fault.NETWORK, Retry.LATER, "this node holds as many waiting envelopes as it may, or more than it can make final in time; try again later or at another node")
ACCOUNT_SHARE_FULL = define("account_share_full", Fault.CLIENT, Retry.LATER, "this account has as many waiting envelopes as one account may")
DISK_FULL = define("disk_full", Fault.NODE, Retry.ELSEWHERE, "this node's disk is nearly full or takes no writes; it accepts nothing until it does")
STOPPING = define("stopping", Fault.NODE, Retry.ELSEWHERE, "this node is shutting down")
NOT_VALIDATOR = define("not_validator", Fault.NODE, Retry.LATER, "this node is an observer and knows no validator to pass the envelope to")

# Execution, common to all apps.
UNKNOWN_OPERATION = define("unknown_operation", Fault.CLIENT, Retry.CHANGED, "no such app or operation at this height")
BAD_ARGUMENTS = define("bad_arguments", Fault.CLIENT, Retry.CHANGED, "the operation's arguments are not what its description says; the words name the field")
FORBIDDEN = define("forbidden", Fault.CLIENT, Retry.CHANGED, "this account may not do this operation on this object")
CONSENT_MISSING = define("consent_missing", Fault.CLIENT, Retry.CHANGED, "a second account that the operation names has not signed")
NOT_FOUND = define("not_found", Fault.CLIENT, Retry.CHANGED, "the object that the operation names does not exist")
ALREADY_EXISTS = define("already_exists", Fault.CLIENT, Retry.CHANGED, "an object of this name exists already")

# Applications: evidence.
ALREADY_RECORDED = define("already_recorded", Fault.CLIENT, Retry.NEVER, "this owner has a record of this digest already; the words name it")
EVIDENCE_SUPERSEDED = define("evidence_superseded", Fault.CLIENT, Retry.CHANGED, "a newer record has replaced the one named; the words name the newer")
EVIDENCE_REVOKED = define("evidence_revoked", Fault.CLIENT, Retry.NEVER, "the record has been revoked, which is final")

# Applications: points.
PROGRAMME_SUSPENDED = define("programme_suspended", Fault.CLIENT, Retry.CHANGED, "the programme is suspended; its points do not move until its issuer opens it again")
PROGRAMME_CLOSED = define("programme_closed", Fault.CLIENT, Retry.CHANGED, "the programme is closed: it takes no new activity and issues nothing more")
METHODOLOGY_CLOSED = define("methodology_closed", Fault.CLIENT, Retry.CHANGED, "this version of the methodology is closed to new issues; use another version")
ACTIVITY_NOT_OVER = define("activity_not_over", Fault.CLIENT, Retry.CHANGED, "the activity ends after block time")
ALREADY_CLAIMED = define("already_claimed", Fault.CLIENT, Retry.NEVER, "the programme has an activity with this claim key already")
ALREADY_ISSUED = define("already_issued", Fault.CLIENT, Retry.NEVER, "points were issued against this activity already")
AMOUNT_MISMATCH = define("amount_mismatch", Fault.CLIENT, Retry.CHANGED, "the stated grams or points are not what the methodology's factors give")
CLAIM_TOO_LARGE = define("claim_too_large", Fault.CLIENT, Retry.CHANGED, "more than the programme allows for one activity")
SUPPLY_EXCEEDED = define("supply_exceeded", Fault.CLIENT, Retry.CHANGED, "the programme would have issued more than its largest supply")
COUNTER_FULL = define("counter_full", Fault.CLIENT, Retry.CHANGED, "a total of the programme would pass 2^63 - 1; open another programme")
NOT_TRANSFERABLE = define("not_transferable", Fault.CLIENT, Retry.CHANGED, "points of this programme cannot be transferred")
INSUFFICIENT_BALANCE = define("insufficient_balance", Fault.CLIENT, Retry.CHANGED, "the account holds fewer points that have not expired")
TRANSFER_TO_SELF = define("transfer_to_self", Fault.CLIENT, Retry.CHANGED, "sender and receiver are the same account")
REDEEMER_UNKNOWN = define("redeemer_unknown", Fault.CLIENT, Retry.CHANGED, "the programme does not list this account as a redeemer")
ALREADY_REDEEMED = define("already_redeemed", Fault.CLIENT, Retry.CHANGED, "the redeemer's reference has been used already")
NOTHING_TO_EXPIRE = define("nothing_to_expire", Fault.CLIENT, Retry.CHANGED, "no points of this account have expired")

# Applications: members.
PROPOSAL_CLOSED = define("proposal_closed", Fault.CLIENT, Retry.CHANGED, "the proposal was executed or withdrawn, or has expired; the words say which")
NOT_APPROVED = define("not_approved", Fault.CLIENT, Retry.LATER, "fewer members approve the proposal than the rule asks for; the words say how many")
KEY_NOT_READY = define("key_not_ready", Fault.CLIENT, Retry.LATER, "a new voting key has not signed that its node is ready for this change; the words name it")
KEY_USED_BEFORE = define("key_used_before", Fault.CLIENT, Retry.CHANGED, "this voting key is or was a validator's; make a new one")

# Proofs (L-21). Whoever asks for one, or verifies one offline.
NOT_COVERED = define("not_covered", Fault.NETWORK, Retry.LATER, "final, but no final header covers it yet; it is provable in a moment")
PROOF_MALFORMED = define("proof_malformed", Fault.OPERATOR, Retry.NEVER, "the proof is not a canonical record; the words name the field")
PROOF_BAD_GENESIS = define("proof_bad_genesis", Fault.OPERATOR, Retry.CHANGED, "what the proof shall be verified against is not a genesis")
PROOF_WRONG_NETWORK = define("proof_wrong_network", Fault.OPERATOR, Retry.CHANGED, "the proof is of another network than the genesis given")
PROOF_BAD_ENVELOPE = define("proof_bad_envelope", Fault.OPERATOR, Retry.NEVER, "the envelope in the proof is not well formed, or a sender's signature in it is bad")
PROOF_WRONG_RECEIPT = define("proof_wrong_receipt", Fault.OPERATOR, Retry.NEVER, "the receipt in the proof is not of its envelope, or not of a height that its header covers")
PROOF_NOT_IN_LOG = define("proof_not_in_log", Fault.OPERATOR, Retry.NEVER, "the audit path does not lead from this receipt to the header's log root")
PROOF_NOT_IN_STATE = define("proof_not_in_state", Fault.OPERATOR, Retry.NEVER, "the trie proof does not show this value, or its absence, under the header's state root")
PROOF_WRONG_VALIDATORS = define("proof_wrong_validators", Fault.OPERATOR, Retry.NEVER, "a header in the proof is of another epoch or validator set than the chain from genesis leads to")
PROOF_BAD_CHAIN = define("proof_bad_chain", Fault.OPERATOR, Retry.NEVER, "the chain of closing headers in the proof does not hold together")
PROOF_WRONG_PIN = define("proof_wrong_pin", Fault.OPERATOR, Retry.NEVER, "the pinned closing header is not in the proof's chain")
PROOF_WRONG_STATEMENT = define("proof_wrong_statement", Fault.OPERATOR, Retry.NEVER, "the certificate does not state that this header is final")
PROOF_BAD_CERTIFICATE = define("proof_bad_certificate", Fault.OPERATOR, Retry.NEVER, "the certificate's signers or signatures are not well formed")
PROOF_NO_QUORUM = define("proof_no_quorum", Fault.OPERATOR, Retry.NEVER, "the certificate's signers have less power than a quorum")
PROOF_BAD_SIGNATURE = define("proof_bad_signature", Fault.OPERATOR, Retry.NEVER, "a validator's signature in the certificate is bad")
PROOF_BAD_VOTE = define("proof_bad_vote", Fault.OPERATOR, Retry.NEVER, "a vote in the evidence is by no validator of its epoch, or its signature is bad")
PROOF_NO_CONFLICT = define("proof_no_conflict", Fault.OPERATOR, Retry.NEVER, "the two votes do not exclude each other: an honest validator may have signed both")
PROOF_OTHER_DOCUMENT = define("proof_other_document", Fault.OPERATOR, Retry.CHANGED, "the proof holds, but records another document than the one given")

# Restarts (decision 0014). Whoever makes, signs, verifies or begins one.
RESTART_BAD_REPORT = define("restart_bad_report", Fault.OPERATOR, Retry.CHANGED, "a report is not a validator's of this network, or what it holds does not verify; the words name it")
RESTART_FORKED = define("restart_forked", Fault.OPERATOR, Retry.NEVER, "the reports show two different final histories: more than a third of the power was dishonest, and no program may choose")
RESTART_UNCERTAIN = define("restart_uncertain", Fault.OPERATOR, Retry.CHANGED, "something final may be missing from what the reports hold; the words say what")
RESTART_BAD_DOCUMENT = define("restart_bad_document", Fault.OPERATOR, Retry.NEVER, "the restart document does not hold together; the words say where")
RESTART_BAD_BLOCK = define("restart_bad_block", Fault.OPERATOR, Retry.CHANGED, "a block to be kept is not the one that the reports lead to, or a batch in it is not signed by a validator of its epoch; the words name it")
RESTART_NOT_APPROVED = define("restart_not_approved", Fault.OPERATOR, Retry.CHANGED, "fewer members have signed the restart than the old network's rule asks for")

# Peers.
PEER_FAULT = define("peer_fault", Fault.PEER, Retry.NEVER, "another node broke the protocol")
# Channels between nodes (L-29 to L-31).
NOT_PAPILIO = define("not_papilio", Fault.PEER, Retry.NEVER, "what came to the peer port is not this protocol; the words say what it looks like")
OTHER_NETWORK = define("other_network", Fault.OPERATOR, Retry.CHANGED, "the other node belongs to another network: its genesis is another")
NO_COMMON_VERSION = define("no_common_version", Fault.OPERATOR, Retry.CHANGED, "the two programs speak no common version of the protocol; update the older one")
HANDSHAKE_FAILED = define("handshake_failed", Fault.PEER, Retry.LATER, "the handshake's bytes are wrong, or were altered on the way")
HANDSHAKE_TIMEOUT = define("handshake_timeout", Fault.PEER, Retry.LATER, "the handshake was not over in time")
UNKNOWN_PEER = define("unknown_peer", Fault.OPERATOR, Retry.CHANGED, "this node key is no validator, accepted observer or configured peer here")
UNEXPECTED_PEER = define("unexpected_peer", Fault.OPERATOR, Retry.CHANGED, "another node answers at the address than the one that is configured for it")
SELF_CONNECTION = define("self_connection", Fault.OPERATOR, Retry.CHANGED, "the node reached itself: a configured address is its own")
KEY_IN_USE = define("key_in_use", Fault.OPERATOR, Retry.CHANGED, "two running processes have the same node key; stop one of them")
DUPLICATE_CONNECTION = define("duplicate_connection", Fault.NETWORK, Retry.LATER, "both nodes dialed; the connection dialed by the lower node key stays")
CONNECTION_REPLACED = define("connection_replaced", Fault.NETWORK, Retry.LATER, "a newer connection of the same node has taken its place")
TOO_MANY_CONNECTIONS = define("too_many_connections", Fault.NETWORK, Retry.LATER, "the node has as many connections as it may; the words say of what kind")
CONNECTION_LOST = define("connection_lost", Fault.NETWORK, Retry.LATER, "the connection ended without a word: the other process died, or the way is broken")
SILENT_PEER = define("silent_peer", Fault.PEER, Retry.LATER, "nothing was heard from the peer for too long")
SLOW_PEER = define("slow_peer", Fault.PEER, Retry.LATER, "the peer does not take what is sent to it; bulk was left out first")
# Our own.
INTERNAL_ERROR = define("internal_error", Fault.NODE, Retry.ELSEWHERE, "the node failed; its log says why")
BROKEN_INVARIANT = define("broken_invariant", Fault.NODE, Retry.ELSEWHERE, "a promise of the program does not hold; the node has stopped")
DIVERGED = define("diverged", Fault.NODE, Retry.ELSEWHERE, "this node computed other results than a final header states; it has stopped (L-22)")
OPERATOR_FAULT = define("operator_fault", Fault.OPERATOR, Retry.CHANGED, "a file, key or command is wrong; the words say what to do")
BAD_REQUEST = define("bad_request", Fault.CLIENT, Retry.CHANGED, "the request is not what the interface describes")
STORE_FAILED = define("store_failed", Fault.NODE, Retry.ELSEWHERE, "a write or sync of this node's disk failed; the node stops before it signs anything more")
SEGMENT_DAMAGED = define("segment_damaged", Fault.NODE, Retry.ELSEWHERE, "this node's copy of the block is damaged on disk; it is not served")
PRUNED = define("pruned", Fault.NODE, Retry.ELSEWHERE, "the block is older than what this node keeps; an archive node has it")
STATE_DAMAGED = define("state_damaged", Fault.NODE, Retry.ELSEWHERE, "this node's state is damaged on disk; it has stopped, and the state can be made anew from the blocks")
# Said by the client library and the command line, never by a node.
UNREACHABLE = define("unreachable", Fault.NETWORK, Retry.LATER, "no node gave an answer in time; the words name each one that was tried")
OUTCOME_UNKNOWN = define("outcome_unknown", Fault.NETWORK, Retry.LATER, "the wait ended before an outcome was known; sending the same envelope again is safe")
# Requests to the HTTP API.
NO_SUCH_PATH = define("no_such_path", Fault.CLIENT, Retry.CHANGED, "the API has no such path; /docs lists them")
METHOD_NOT_ALLOWED = define("method_not_allowed", Fault.CLIENT, Retry.CHANGED, "the path does not take this method; the header Allow names those it takes")
UNSUPPORTED_MEDIA_TYPE = define("unsupported_media_type", Fault.CLIENT, Retry.CHANGED, "the body is of a content type that the path does not take")
REQUEST_TIMEOUT = define("request_timeout", Fault.CLIENT, Retry.LATER, "the request did not arrive in time; this says nothing about the outcome of a transaction")
API_BUSY = define("api_busy", Fault.NODE, Retry.LATER, "the API has as many connections, streams or waiting bytes as it may, or took too long; this says nothing about the outcome of a transaction")
NOT_READY = define("not_ready", Fault.NODE, Retry.ELSEWHERE, "this node is not up to date with its network yet, or cannot take envelopes now")
