"""Every bound of the protocol, with its reason; the relations between them are asserted at the end.

Names carry their unit. These are hard bounds that no configuration can pass; where a network may choose
(`network.toml`, part `[genesis]`), it chooses below them. A decoder checks them before it allocates.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- Integers ---------------------------------------------------------------------------------------
U63_MAX: Final = 2**63 - 1
"""Largest integer in any record: fits a signed 64-bit column everywhere."""
U53_MAX: Final = 2**53 - 1
"""Largest total of voting power, and of times in ms: exact in every language's numbers."""

# -- Transport --------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 64 * KIB - 1
"""One Noise transport message (Noise spec, section 3), tag included."""
MESSAGE_BYTES_MAX: Final = 1 * MIB
"""One message between nodes, after reassembly: the largest is a sync answer or a batch."""

CONSENSUS_MESSAGE_BYTES_MAX: Final = 64 * KIB
"""...and one on the stream of consensus: what everyone waits for is small, and reassembled outside any window."""
CHANNEL_WINDOW_BYTES: Final = 2 * MIB
"""What may be on its way, or wait for the receiver, on each bulk stream of a channel (L-30): twice the largest message,
so that one is sent while another is being dealt with."""
CHANNEL_CHUNKS_MAX: Final = 1_024
"""Pieces of the largest message: none but a last one is below 1 KiB."""
CHANNEL_CHUNK_CHARGE_BYTES: Final = 64
"""What each piece of a message counts in a window beside its bytes: about what it costs to keep a short one."""

# -- Envelopes --------------------------------------------------------------------------------------
ENVELOPE_BYTES_MAX: Final = 256 * KIB
"""1,000 operations of some 200 bytes, or one operation with a long argument."""
OPERATIONS_MAX: Final = 1_000
OPERATION_ARGUMENTS_BYTES_MAX: Final = 16 * KIB
SIGNERS_MAX: Final = 8
ACCOUNT_KEYS_MAX: Final = 16
NAME_BYTES_MAX: Final = 64
"""Names of members, apps, operations, spaces, codes."""
WORDS_BYTES_MAX: Final = 256
"""The human words of a receipt."""
RESULT_BYTES_MAX: Final = 1 * KIB
"""The result of one operation."""
RECEIPT_RESULTS_BYTES_MAX: Final = 256 * KIB
"""All results of one envelope: a receipt travels in one message."""
STATE_KEY_BYTES_MAX: Final = 480
"""Below the 511 bytes that the embedded store takes as a key, with room for a table's mark."""
STATE_VALUE_BYTES_MAX: Final = 32 * KIB
ADDED_VALUE_BYTES_MAX: Final = STATE_VALUE_BYTES_MAX - STATE_KEY_BYTES_MAX - 32
"""A record that is only ever added: it lies in a page, which is a value of the state, with its key."""
ADDED_RECORDS_MAX: Final = 1_024
"""Of one page: a record and its frame have far more than 5 bytes of the page's 5,300."""
ENVELOPE_TTL_MS_MAX: Final = 24 * 3600 * 1000
"""Hard bound of a network's envelope_ttl_max_ms: what has to be remembered against replays."""

# -- Batches and blocks -----------------------------------------------------------------------------
BATCH_BYTES_MAX: Final = 768 * KIB
"""A sealed batch, whole; holds at least one largest envelope."""
BATCH_ENVELOPES_MAX: Final = 4_096
BATCH_SIGNATURES_MAX: Final = 4_096
BATCH_OPERATIONS_MAX: Final = 40_000
REFERENCES_MAX: Final = 64
"""Batches of one block."""
BLOCK_BYTES_MAX: Final = 8 * MIB
"""Sum of the bytes of a block's batches."""
BLOCK_ENVELOPES_MAX: Final = 16_384
HEADER_BYTES_MAX: Final = 16 * KIB
UNORDERED_BATCHES_PER_AUTHOR_MAX: Final = 64
UNORDERED_BYTES_PER_AUTHOR_MAX: Final = 16 * MIB
"""Past these the author is told to slow down, and its API answers 429 (L-13)."""

BATCH_TTL_MAX: Final = 4_096
"""Hard bound of a network's batch_ttl_max, in heights: how many heights of references are remembered."""
EXECUTION_LAG_MAX: Final = 512
"""Hard bound of a network's execution_lag_max, in blocks: what may wait for execution, and be undone for a proof."""

# -- Pool -------------------------------------------------------------------------------------------
POOL_ENVELOPES_MAX: Final = 50_000
POOL_BYTES_MAX: Final = 64 * MIB
POOL_ACCOUNT_SHARE_PERCENT: Final = 50
"""One account's largest share of the pool while others may come (L-12)."""
FINALS_REMEMBERED_MAX: Final = 16_384
"""Transactions that were final last: some ten seconds of the most that a node does, longer than a check takes."""
REFUSED_REMEMBERED_MAX: Final = 10_000

# -- Network ----------------------------------------------------------------------------------------
VALIDATORS_MAX: Final = 256
MEMBERS_MAX: Final = 1_024
OBSERVERS_MAX: Final = 1_024
RULES_VERSIONS_MAX: Final = 64
"""Changes of rules that one genesis record can schedule."""
PEERS_MAX: Final = 512

# -- Consensus --------------------------------------------------------------------------------------
VIEW_RETENTION: Final = 8
"""Votes are kept for this many views below the current one (C-18)."""
VIEW_LOOKAHEAD: Final = 64
"""...and for this many above: a node behind can still assemble certificates of the others' views."""
BACKOFF_MAX: Final = 64
"""Hard bound of a network's backoff_max (C-14)."""
CERTIFICATES_REQUESTED_MAX: Final = 64
"""Views named in one request for certificates."""
DIGESTS_REQUESTED_MAX: Final = 64
MEND_WANTED_MAX: Final = 64
"""Damaged blocks that a node asks its peers for, one at a time; the daemon names others again later."""
SYNC_BLOCKS_MAX: Final = 256
"""Blocks in one answer of block sync; bytes bind first."""

# -- Keys -------------------------------------------------------------------------------------------
ACCOUNT_NAMES_REMEMBERED_MAX: Final = 4_096
"""First keys whose account's name is at hand: whoever sends often is hashed once."""
VALID_KEYS_REMEMBERED_MAX: Final = 16_384
"""Public keys whose point check is remembered: some 3 MB; more than the keys that are active at one time."""

# -- Applications -----------------------------------------------------------------------------------
MEDIA_TYPE_BYTES_MAX: Final = 127
"""Type, slash and subtype as RFC 6838 section 4.2 recommends: up to 64 characters each, less one."""
LABEL_BYTES_MAX: Final = 128
"""Words of a business: a kind of document, a business step, a beneficiary, a memo."""
REFERENCE_BYTES_MAX: Final = 256
"""Names given elsewhere (GS1, URN, URL), and reasons in words."""
FIELD_PATH_BYTES_MAX: Final = 512
FIELD_VALUE_BYTES_MAX: Final = 64 * KIB
"""One salted field; never stored on the ledger, so this only bounds what a disclosure asks of its reader."""
FIELD_SALT_BYTES_MAX: Final = 64
FIELDS_MAX: Final = 65_536
"""Salted fields of one document: an audit path of 16 hashes."""
FACTOR_MAX: Final = 10**9
"""A methodology's factors and rates: a tonne of CO2 a unit, in mg."""
QUANTITY_MAX: Final = 10**12
"""Quantity of one activity. With FACTOR_MAX, products stay far below what any language's big integers find big."""
ROLE_ACCOUNTS_MAX: Final = 16
"""Accounts in one list of a programme; every operation reads the lists with the programme."""
LOTS_MAX: Final = 16
"""Lots of one balance: months of a year, and some. Every transfer reads and writes at most twice as many."""
LIFETIME_MS_MAX: Final = 200 * 366 * 24 * 3600 * 1000
"""Points that live longer are points that do not expire."""

# -- Proofs -----------------------------------------------------------------------------------------
LOG_PATH_MAX: Final = 64
TRIE_DEPTH_MAX: Final = 64
PROOF_EPOCHS_MAX: Final = 4_096
PROOF_BYTES_MAX: Final = 16 * MIB

# -- Restarts ---------------------------------------------------------------------------------------
ANCESTORS_MAX: Final = 64
"""Networks before the present one: each stood for a loss that its own rules could not bear."""
REPORT_BYTES_MAX: Final = 16 * MIB
"""What one validator reports of its disk when it stops for good: some headers and votes, and the chain of its
epochs."""
REPORT_ITEMS_MAX: Final = 4_096
"""Headers, certificates, votes of one report: a node goes along with some 128 heights that are not final."""
REPORT_BATCHES_MAX: Final = 65_536
RESTART_BYTES_MAX: Final = 128 * MIB
"""A restart document, with all reports in it."""

assert ENVELOPE_BYTES_MAX + 1024 <= BATCH_BYTES_MAX, "a batch holds at least one largest envelope"
assert BATCH_BYTES_MAX + 1024 <= MESSAGE_BYTES_MAX, "a batch travels in one message"
assert HEADER_BYTES_MAX + 1024 <= MESSAGE_BYTES_MAX, "a header travels in one message"
assert REFERENCES_MAX * 96 + 512 <= HEADER_BYTES_MAX, "a header holds all its references"
assert VALIDATORS_MAX * 72 + 256 <= CONSENSUS_MESSAGE_BYTES_MAX, "a certificate travels as consensus"
assert HEADER_BYTES_MAX + 1024 <= CONSENSUS_MESSAGE_BYTES_MAX, "a proposal travels as consensus"
assert MESSAGE_BYTES_MAX + CHANNEL_CHUNKS_MAX * CHANNEL_CHUNK_CHARGE_BYTES < CHANNEL_WINDOW_BYTES // 4 * 3, (
    "no window is too small to finish"
)
assert BATCH_BYTES_MAX <= BLOCK_BYTES_MAX, "a block holds at least one batch"
assert BATCH_ENVELOPES_MAX <= BLOCK_ENVELOPES_MAX, "a block holds at least one batch"
assert BATCH_TTL_MAX > 4 * EXECUTION_LAG_MAX, "the largest lag leaves room for a longer ttl (L-11)"
assert VALIDATORS_MAX * 72 + 256 <= MESSAGE_BYTES_MAX, "a certificate travels in one message"
