"""Bounds of the daemon alone, each with its reason. What the protocol bounds stands in `protocol.limits`.

Names carry their unit. None of these is part of the protocol: nodes with different ones understand each other.
"""

from __future__ import annotations

from typing import Final

from protocol.limits import (
    BLOCK_BYTES_MAX,
    CHANNEL_CHUNKS_MAX,
    CONSENSUS_MESSAGE_BYTES_MAX,
    FRAME_BYTES_MAX,
    KIB,
    MESSAGE_BYTES_MAX,
    MIB,
)

# -- Runtime: inputs --------------------------------------------------------------------------------
INBOX_URGENT_MAX: Final = 4_096
INBOX_URGENT_BYTES_MAX: Final = 8 * MIB
"""Votes, proposals and certificates that wait for a step: some views of the largest validator set."""
INBOX_BULK_MAX: Final = 512
INBOX_BULK_BYTES_MAX: Final = 8 * MIB
"""Batches and sync answers that wait for a step; then peers wait, and TCP tells them."""
LOOP_RUN_MS: Final = 5
"""The driver gives way to other tasks at least this often while inputs wait."""

# -- Runtime: disk ----------------------------------------------------------------------------------
JOURNAL_GENERATION_BYTES: Final = 3 * MIB
"""Past this a journal generation is replaced, within the room that was reserved for it: bounds its disk use, and the
time to read it at a start."""
SEGMENTS_DIRTY_BYTES: Final = 64 * MIB
SEGMENTS_DIRTY_SECONDS: Final = 10
"""Appended blocks are synced in the background at least this often; the journal holds them meanwhile."""
FINALS_WAITING_BYTES: Final = 32 * MIB
"""Final blocks that wait for the disk; past this peers' sync answers are not taken in."""
DISK_FREE_LOW_BYTES: Final = 512 * MIB
DISK_FREE_ENOUGH_BYTES: Final = 768 * MIB
"""Below the first the node stops accepting and voting (L-28), above the second it goes on: far enough apart
that it does not change its mind with each rotated file."""
DISK_LOOK_SECONDS: Final = 5
PATIENT_BYTES_MAX: Final = 1 * MIB
"""Records that nothing needs yet wait for the next commit up to so many bytes."""
WRITE_HERE_SECONDS: Final = 0.008
"""Small writes that take less with their sync, on average, run on the loop: handing one to a thread costs as much on a
busy machine."""
WRITE_SMALL_BYTES: Final = 256 * KIB
"""Larger writes never run on the loop."""
EVIDENCE_FILES_MAX: Final = 256
"""Of a validator that signs twice in each view the first proofs are as good as all."""
EVIDENCE_TRIES: Final = 60
EVIDENCE_RETRY_SECONDS: Final = 1.0
"""Evidence of an epoch that has just begun waits until the end of the one before is executed."""

# -- Store ------------------------------------------------------------------------------------------
JOURNAL_RECORD_BYTES_MAX: Final = 16 * MIB
"""One record of the journal: far above the largest, a batch."""
JOURNAL_GROUP_BYTES_MAX: Final = 32 * MIB
"""One frame of the journal; what waits beyond goes into a second one of the same write."""
JOURNAL_ALLOCATION_BYTES: Final = 4 * MIB
"""Room is reserved in such steps: a sync that does not change the file's length is a third cheaper (journal.py)."""
UNSQUEEZED_BYTES_MAX: Final = 64 * MIB
"""What a squeezed block or value opens to (squeeze.py): far above the largest block."""
BLOCK_FRAME_BYTES_MAX: Final = BLOCK_BYTES_MAX + MIB
"""Longest block of a segment: a longer one is not read, whatever its head says."""
SEGMENT_BYTES: Final = 64 * MIB
"""A segment is sealed once its blocks are so large, not squeezed: seconds to scan, a handy object to move elsewhere,
and no more in memory while it is mended."""
STATE_MAP_BYTES: Final = 4 * 1024 * MIB
"""Address space of the state store at first; doubled when full. Neither memory nor disk."""
STATE_FULL_BYTES: Final = 32 * MIB
"""With less free room a commit that fails with EIO is taken for a full disk: LMDB says EIO of both."""
STATE_READERS_MAX: Final = 512
"""Read transactions open at once, over all processes."""
STATE_READER_CHECK_COMMITS: Final = 256
"""So often the writer clears the slots of readers that died, whose pages could not be used again."""

# -- Runtime: scrub and mending ---------------------------------------------------------------------
SCRUB_BYTES_PER_SECOND: Final = 4 * MIB
"""What reading old blocks again may take of the disk: a tenth of a slow one; 100 GB in seven hours."""
SCRUB_READ_BYTES: Final = 512 * KIB
SCRUB_LEAST_BYTES: Final = 64 * KIB
"""What each read counts at least: small blocks are read a few hundred a second, not as fast as can be."""
SCRUB_PAUSE_SECONDS: Final = 6 * 3600
"""Between two passes, and before the first."""
MEND_LOOK_SECONDS: Final = 1
MEND_RETRY_SECONDS: Final = 20
"""A damaged block is asked for again so often, until it is mended."""
MEND_ASKED_MAX: Final = 64
MEND_WAITING_BYTES: Final = 2 * 64 * MIB
"""Good blocks that wait until all that is damaged in their segment is there: two whole segments."""
# -- Runtime: workers -------------------------------------------------------------------------------
WORKER_FRAME_BYTES_MAX: Final = 64 * MIB
"""One message between the node and its own worker: the largest is the outcomes of a full block."""
CHUNK_SIGNATURES: Final = 32
"""Signatures that a worker checks before it looks for something more urgent: 1.7 ms."""
INLINE_SIGNATURES_MAX: Final = 3
"""Signatures that consensus waits for are checked on the loop up to so many. Measured: handing one job to a worker
costs the loop 76 us, and 100 us of waiting on an idle machine, milliseconds on a busy one; a check costs 54 us. More go
to a worker (C-19)."""
CHECK_HERE_BYTES: Final = 2 * KIB
CHECK_HERE_INBOX_MAX: Final = 8
"""Envelopes and batches up to so large (a few signatures, below a millisecond) are checked on the loop while no more
inputs than that wait."""
BULK_JOBS_IN_FLIGHT: Final = 2
"""Bulk jobs a verify worker holds: the next is there when one ends; the rest can still be overtaken here."""
EXECUTE_IN_FLIGHT_BYTES: Final = 16 * MIB
EXECUTE_IN_FLIGHT_BLOCKS: Final = 64
"""Blocks handed to the execute worker and not answered: what one transaction of the store may hold at once."""
EXECUTE_WAITING_BYTES: Final = 32 * MIB
"""Content of final blocks kept in memory for execution; past this it is read again from the segments."""
WORKER_RESTART_SECONDS: Final = (0.0, 0.2, 1.0, 5.0)
"""Pauses before a crashed worker is started again: at once the first time, then longer."""
WORKER_STEADY_SECONDS: Final = 60
"""A worker that lived so long starts again without a pause."""
WORKER_END_SECONDS: Final = 1
"""How long a worker that has closed its pipe may take to end before it is killed."""
EXECUTE_DEATHS_MAX: Final = 5
"""Deaths of the execute worker at one block, not by signal 9; then the block is taken for the cause: the node stops."""

# -- Runtime: file descriptors ----------------------------------------------------------------------
DESCRIPTORS_OWN: Final = 96
"""Of a node without peers and clients: a dozen stand open; journal, segments and their readers, the starts of workers,
listeners, and clients that are just being turned away come and go."""
API_CONNECTIONS_LEAST: Final = 16
"""With room for fewer clients a node is not started."""

# -- Service ----------------------------------------------------------------------------------------
SUBMITS_WAITING_MAX: Final = 1_024
SUBMITS_WAITING_BYTES: Final = 32 * MIB
"""Clients' posts that wait for their answer; past this the next is refused at once with `pool_full`."""
EVENTS_READ_MAX: Final = 256
"""Receipts that a subscriber reads from the store at once: all that is held for it."""
SHUTDOWN_SECONDS: Final = 10
"""How long answers, streams and disk writes may take to finish after the first signal."""
GOODBYE_SECONDS: Final = 2
"""How long the channels to peers may take to end at a shutdown."""

# -- Net: one channel -------------------------------------------------------------------------------
NET_READ_BYTES: Final = 128 * KIB
"""Asked of a socket at once: some frames of bulk, hundreds of votes."""
NET_BULK_FRAME_BYTES: Final = 16 * KIB
"""A frame with bulk in it: a vote that comes meanwhile waits for its encryption and write, together far below 1 ms."""
NET_PIECE_BYTES_MIN: Final = 1 * KIB
"""No piece of a message but its last is smaller, whatever is left of a frame or a window."""
NET_OUT_CONSENSUS_MAX: Final = 8_192
NET_OUT_CONSENSUS_BYTES: Final = 4 * MIB
"""Votes and proposals that wait for one peer: some views of the largest validator set. A peer that lets them
overflow is disconnected."""
NET_OUT_BULK_MAX: Final = 2_048
NET_OUT_BULK_BYTES: Final = 8 * MIB
"""Batches, and as much again of sync (two answers of block sync), that wait for one peer; past this the newest is
left out."""
NET_RECEIVE_BYTES_PER_SECOND: Final = 64 * MIB
NET_RECEIVE_BURST_BYTES: Final = 16 * MIB
"""What one peer may make this node decrypt: above any use, about a tenth of a core."""
NET_MESSAGE_CHARGE_BYTES: Final = 256
"""What each message counts in that budget beside its bytes: the cost of tiny ones is in their number."""
NET_MESSAGES_RUN_MAX: Final = 128
"""Messages handed over in a row before other tasks get their turn: a millisecond or two."""
NET_KEEPALIVE_SECONDS: Final = 4
"""A side that has said nothing for so long says that it lives."""
NET_SILENCE_SECONDS: Final = 15
"""A peer from which no whole frame came for so long is gone: three keepalives were lost."""
NET_STALL_SECONDS: Final = 20
"""A peer that does not take one frame for so long is too slow even for votes (3 KiB/s)."""
NET_WATCH_SECONDS: Final = 1
NET_GOODBYE_SECONDS: Final = 2
"""For what waits, a last word, and the other side's end of the connection."""

# -- Net: doors -------------------------------------------------------------------------------------
NET_HANDSHAKE_SECONDS: Final = 10
"""From the first byte to the verdict: three round trips of a bad line, and a busy machine."""
NET_OPENING_READ_BYTES: Final = 1 * KIB
NET_HALF_OPEN_MAX: Final = 64
"""Connections that have not proven a key, from everywhere; each holds about 10 KiB."""
NET_HALF_OPEN_PER_ADDRESS_MAX: Final = 16
NET_CONNECTIONS_MAX: Final = 128
NET_CONNECTIONS_PER_ADDRESS_MAX: Final = 64
"""Four nodes and their clients on one machine are one address; so is an institution behind one firewall."""
NET_ACCEPTS_PER_SECOND: Final = 200
NET_ACCEPTS_BURST: Final = 400
"""From everywhere: a stranger costs some 0.6 ms, so all of them together an eighth of a core;
more wait in the kernel's line."""
NET_HANDSHAKES_PER_SECOND: Final = 20
NET_HANDSHAKES_BURST: Final = 64
"""From one address, behind a good preamble: a handshake costs about a millisecond, so one address 2% of a core."""
NET_ADDRESSES_REMEMBERED_MAX: Final = 4_096
NET_PENALTY_SECONDS: Final = 5
"""A peer that was disconnected for a fault is not let in again for so long."""
NET_ACCEPT_PAUSE_SECONDS: Final = 0.2
"""After the system refused a connection for want of descriptors or memory."""
NET_DIAL_SECONDS: Final = 5
NET_DIAL_PAUSE_SECONDS: Final = (0.1, 5.0)
"""First and longest pause between attempts to reach a peer, doubled each time, jittered by half."""
NET_STEADY_SECONDS: Final = 10
"""A connection that lived so long begins with the first pause again when it is lost."""

# -- API --------------------------------------------------------------------------------------------
API_HEAD_BYTES_MAX: Final = 16 * KIB
"""Request line and headers of one request: a browser's cookies for other things on the same host fit."""
API_HEADERS_MAX: Final = 64
API_BODY_BYTES_MAX: Final = 4 * MIB
"""One request: 1,000 small envelopes in hex, some largest ones, or the proofs of a network with many epochs."""
API_BODIES_BYTES_MAX: Final = 64 * MIB
"""All bodies that are being received or answered: past it a new one is refused with `api_busy`."""
API_ENVELOPES_MAX: Final = 1_000
"""In one request; what one client can make the node check before others get their turn: 54 ms of signatures."""
API_PIPELINED_MAX: Final = 16
"""Requests that arrived behind the one that is being answered, on one connection."""
API_READ_BYTES: Final = 64 * KIB
API_WRITE_BYTES: Final = 64 * KIB
"""So much at a time is written, and has to be taken within `API_WRITE_SECONDS`."""
API_HEAD_SECONDS: Final = 10
"""From the first byte of a request to the end of its headers."""
API_BODY_SECONDS: Final = 30
"""...and from there to the end of its body: 140 KB/s at least for the largest."""
API_IDLE_SECONDS: Final = 75
"""Between two requests of one connection."""
API_IDLE_LEAST_SECONDS: Final = 1
"""...while there is room for others; when there is none, who has been idle for so long gives its place to who comes."""
API_WAIT_MS_MAX: Final = 30_000
"""How long a request may wait for finality; below the patience of common proxies (60 s)."""
API_ANSWER_SECONDS: Final = 45
"""What an answer may take in all: waiting, and a busy node."""
API_WRITE_SECONDS: Final = 20
"""A client that takes nothing for so long is left."""
API_LINGER_SECONDS: Final = 1
API_LINGER_BYTES: Final = 8 * MIB
"""What is still read and thrown away after a refusal, so that the client gets to see it."""
API_STREAMS_MAX: Final = 256
"""Event streams at once."""
API_HEARTBEAT_SECONDS: Final = 10
"""An event stream says at least this often that it lives; below the idle times of common proxies."""
API_BLOCKS_LISTED_MAX: Final = 100
API_TRANSACTIONS_LISTED_MAX: Final = 1_000
API_CONTENTS_BYTES: Final = 8 * MIB
"""Recent blocks that stay opened for event streams, about, by envelopes, operations and names: the two with the most
envelopes. (The newest stays, whatever it takes.)"""
API_BLOCK_HERE_BYTES: Final = 16 * KIB
API_BLOCKS_RECENT: Final = 64
"""Blocks up to so large, and so recent that the system holds them in memory, are opened without a thread: some
envelopes, a millisecond or two."""
API_THREADS_MAX: Final = 4
"""Reads of blocks from disk at once."""
API_PROOF_THREADS_MAX: Final = 1
"""Proofs made or verified at once: they take milliseconds of the interpreter each, and nobody is in a hurry."""
API_RETRY_AFTER_SECONDS: Final = 1
"""What a refused client is told to wait at least."""

# -- Log --------------------------------------------------------------------------------------------
LOG_REPEATS_PER_MINUTE: Final = 5
"""Lines of one kind that somebody outside can provoke; what comes beyond is counted in the next."""
LOG_KINDS_MAX: Final = 1_024

assert INBOX_BULK_BYTES_MAX >= 4 * MESSAGE_BYTES_MAX, "several peers' largest messages wait side by side"
assert WORKER_FRAME_BYTES_MAX >= 4 * BLOCK_BYTES_MAX, "a block and its outcomes fit into one message to a worker"
assert EXECUTE_IN_FLIGHT_BYTES >= BLOCK_BYTES_MAX + MIB, "the largest block can be handed over"
assert FINALS_WAITING_BYTES >= 2 * BLOCK_BYTES_MAX, "one block is written while the next waits"
assert JOURNAL_GENERATION_BYTES < JOURNAL_ALLOCATION_BYTES, "a generation seldom takes a second step of room"
assert DISK_FREE_LOW_BYTES >= 4 * JOURNAL_GENERATION_BYTES, "there is room to rotate the journal when the disk is low"
assert DISK_FREE_ENOUGH_BYTES > DISK_FREE_LOW_BYTES
assert MEND_WAITING_BYTES >= 2 * SEGMENT_BYTES, "a segment that is lost whole can be got again"
assert CHUNK_SIGNATURES * KIB <= MIB
assert JOURNAL_RECORD_BYTES_MAX >= 2 * MESSAGE_BYTES_MAX, "whatever came in one message is one record"
assert JOURNAL_GROUP_BYTES_MAX > JOURNAL_RECORD_BYTES_MAX, "a record fits into a group"
assert UNSQUEEZED_BYTES_MAX >= 4 * BLOCK_BYTES_MAX, "every block can be squeezed"
assert SEGMENT_BYTES >= 4 * BLOCK_BYTES_MAX, "a segment holds several of the largest blocks"
assert NET_PIECE_BYTES_MIN * CHANNEL_CHUNKS_MAX >= MESSAGE_BYTES_MAX, "pieces are as few as the window reckons with"
assert NET_BULK_FRAME_BYTES <= FRAME_BYTES_MAX // 2
assert NET_OUT_CONSENSUS_BYTES >= 4 * CONSENSUS_MESSAGE_BYTES_MAX
assert NET_OUT_BULK_BYTES >= 4 * MESSAGE_BYTES_MAX, "several of the largest messages wait"
assert NET_RECEIVE_BURST_BYTES >= MESSAGE_BYTES_MAX + NET_READ_BYTES
assert NET_SILENCE_SECONDS >= 3 * NET_KEEPALIVE_SECONDS + NET_WATCH_SECONDS, "two keepalives may be lost"
assert NET_HALF_OPEN_PER_ADDRESS_MAX < NET_HALF_OPEN_MAX, "one address does not take all half-open places"
assert API_WAIT_MS_MAX < API_ANSWER_SECONDS * 1000, "waiting for finality is part of an answer"
assert 8 * API_BODY_BYTES_MAX <= API_BODIES_BYTES_MAX, "several of the largest bodies find room"
assert API_HEARTBEAT_SECONDS < API_WRITE_SECONDS
