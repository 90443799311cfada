"""All operations of the API, in the order in which they are told.

The one description: requests are matched and checked by it (`dispatch`), OpenAPI and `/docs` are written from it.
"""

from __future__ import annotations

from typing import Any, Final

from daemon import limits
from daemon.api import chain, envelopes, events, schemas, state, status
from daemon.api.kinds import HASH, HEIGHT, TIME_MS, Hex, Integer, KeyPart, Position, Text
from daemon.api.messages import EVENTS, HTML, JSON, METRICS, MSGPACK, OCTET_STREAM, PROOF
from daemon.api.routes import Body, Parameter, Reply, Route
from protocol import errors
from protocol import limits as protocol_limits

TAGS: Final = (
    ("Transactions", "Submit signed envelopes, and learn what became of them."),
    ("Ledger", "Final blocks and accounts, as this node has executed them."),
    ("State and proofs", "What the applications keep, and files that prove it offline."),
    ("Events", "What becomes final, as it does."),
    ("Network and node", "Who takes part, and how this node is."),
    ("Description", "This description, for machines and people."),
)
LIST_SCHEMA: Final = {"type": "object", "description": "As `papilio`'s own description of its applications has it."}
OCTETS: Final = {"type": "string", "format": "binary"}


def wait(words: str) -> Parameter:
    """How long to wait for finality."""
    return Parameter("wait_ms", Integer(0, limits.API_WAIT_MS_MAX), words, default=0)


TRANSACTION: Final = Parameter("transaction", HASH, "Transaction id: the hash of what is signed.", place="path")
ACCOUNT: Final = Parameter("account", HASH, "The account's name: the hash of its first key.", place="path")
SPACE: Final = Parameter(
    "space", Text(protocol_limits.NAME_BYTES_MAX), "Name of a space of the state, or of a second key.", place="path"
)
KEY: Final = Parameter(
    "key", KeyPart(), "One part of the key; repeat it, in the order of the space's description.", many=True, default=()
)
ENVELOPES_MSGPACK: Final = {
    "type": "array",
    "items": {"type": "string", "format": "binary", "description": "One encoded envelope, as a byte string."},
    "minItems": 1,
    "maxItems": limits.API_ENVELOPES_MAX,
    "description": "An array of byte strings, each an encoded envelope.",
}
POST_EXAMPLE: Final = """\
HEX=$(xxd -p -c 0 envelope.bin)
curl -H 'content-type: application/json' -d "{\\"envelopes\\": [\\"$HEX\\"]}" \\
    "$BASE/v1/envelopes?wait_ms=5000\""""
VERIFY_EXAMPLE: Final = """\
curl -H 'content-type: application/vnd.papilio.proof' --data-binary @receipt.proof \\
    "$BASE/v1/proofs/verify\""""
SAMPLE: Final = "5d" * 32


def table(value_schema: Any = LIST_SCHEMA) -> tuple[Route, ...]:
    """All rows. value_schema: what a state value looks like (openapi.py makes it from the applications)."""
    return (*_transactions(), *_ledger(), *_state(value_schema), *_events(), *_node(), *_description())


def _transactions() -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            "/v1/envelopes",
            "submit_envelopes",
            "Transactions",
            "Submit one or many signed envelopes.",
            envelopes.submit,
            (Reply("An outcome for each envelope, in their order.", schemas.Results),),
            more="Sending the same envelope again is safe: if it is final already, its first receipt comes back. "
            "When the node takes nothing at the moment the whole post is refused with 429 or 503 and `Retry-After`.",
            parameters=(wait("Wait so long for final outcomes; what is not final then stays `pending`."),),
            body=Body(
                {
                    JSON: schemas.Envelopes,
                    MSGPACK: ENVELOPES_MSGPACK,
                },
                f"1 to {limits.API_ENVELOPES_MAX} envelopes, {limits.API_BODY_BYTES_MAX // 1024 // 1024} MiB at most.",
            ),
            problems=(
                *(errors.POOL_FULL, errors.ACCOUNT_SHARE_FULL, errors.DISK_FULL, errors.STOPPING),
                *(errors.NOT_VALIDATOR, errors.TOO_LARGE),
            ),
            examples=(POST_EXAMPLE,),
        ),
        Route(
            "GET",
            "/v1/transactions/{transaction}",
            "transaction_outcome",
            "Transactions",
            "The outcome of a transaction.",
            envelopes.outcome,
            (Reply("What is known of it here and now.", schemas.Outcome),),
            more="One of five answers, never an error: final (with the receipt), pending, refused (by this node), "
            "expired (it can't become final any more), not seen here. Give `valid_until_ms` of the envelope, so that "
            "the node can tell expired from not seen; give `account` and `id` too, and it can tell that another "
            "content has taken the id.",
            parameters=(
                TRANSACTION,
                wait("Wait so long for an outcome that stays."),
                Parameter("valid_until_ms", TIME_MS, "As in the envelope."),
                Parameter("account", HASH, "As in the envelope."),
                Parameter("id", Hex(16), "As in the envelope."),
            ),
            examples=(f'curl "$BASE/v1/transactions/{SAMPLE}?wait_ms=5000"',),
        ),
        Route(
            "GET",
            "/v1/transactions/{transaction}/proof",
            "transaction_proof",
            "Transactions",
            "The proof file of a final transaction.",
            envelopes.proof,
            (Reply("An encoded `ReceiptProof`: verifies offline with network.toml alone.", OCTETS, PROOF),),
            more="Provable is what a final header covers: a block or two after the transaction became final. With "
            "`wait_ms` the answer waits for that.",
            parameters=(TRANSACTION, wait("Wait so long until it is final and provable.")),
            problems=(errors.NOT_FOUND, errors.NOT_COVERED, errors.PRUNED, errors.SEGMENT_DAMAGED),
            examples=(f'curl -O -J "$BASE/v1/transactions/{SAMPLE}/proof?wait_ms=5000"',),
        ),
    )


def _ledger() -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/blocks",
            "list_blocks",
            "Ledger",
            "Final blocks, ascending.",
            chain.blocks,
            (Reply("A summary of each.", schemas.Blocks),),
            parameters=(
                Parameter("from", HEIGHT, "First height; without it the newest blocks."),
                Parameter("limit", Integer(1, limits.API_BLOCKS_LISTED_MAX), "How many.", default=20),
            ),
            problems=(errors.PRUNED,),
            examples=('curl "$BASE/v1/blocks?from=1&limit=5"',),
        ),
        Route(
            "GET",
            "/v1/blocks/latest",
            "latest_block",
            "Ledger",
            "The newest executed block.",
            chain.latest_block,
            (Reply("The block.", schemas.Block),),
            problems=(errors.NOT_FOUND, errors.PRUNED, errors.SEGMENT_DAMAGED),
            examples=('curl "$BASE/v1/blocks/latest"',),
        ),
        Route(
            "GET",
            "/v1/blocks/{height}",
            "block",
            "Ledger",
            "One block: its header, and the transactions with a receipt.",
            chain.block,
            (Reply("The block.", schemas.Block),),
            parameters=(Parameter("height", HEIGHT, "Height, from 1.", place="path"),),
            problems=(errors.NOT_FOUND, errors.PRUNED, errors.SEGMENT_DAMAGED),
            examples=('curl "$BASE/v1/blocks/1"',),
        ),
        Route(
            "GET",
            "/v1/blocks/{height}/encoded",
            "encoded_block",
            "Ledger",
            "One block as a node keeps it: header, batches, finalization.",
            chain.encoded_block,
            (Reply("An encoded `Block`: whoever holds network.toml can judge it.", OCTETS, OCTET_STREAM),),
            more="With it `papilio store repair --from` mends another node's disk.",
            parameters=(Parameter("height", HEIGHT, "Height, from 1.", place="path"),),
            problems=(errors.NOT_FOUND, errors.PRUNED, errors.SEGMENT_DAMAGED),
            examples=('curl -o 1.block "$BASE/v1/blocks/1/encoded"',),
        ),
        Route(
            "GET",
            "/v1/accounts/{account}",
            "account",
            "Ledger",
            "Which keys act for an account.",
            chain.account,
            (Reply("Its record, or that its first key alone acts.", schemas.Account),),
            parameters=(ACCOUNT,),
            examples=(f'curl "$BASE/v1/accounts/{SAMPLE}"',),
        ),
        Route(
            "GET",
            "/v1/accounts/{account}/transactions",
            "account_transactions",
            "Ledger",
            "Transactions that an account sent, in final order.",
            chain.account_transactions,
            (Reply("Some of them, and where to go on.", schemas.AccountTransactions),),
            more="A node that joined by a snapshot lists them from `from_height` on; an archive node has all.",
            parameters=(
                ACCOUNT,
                Parameter("after", Integer(0, protocol_limits.U53_MAX), "Log index of the last one that is known."),
                Parameter("limit", Integer(1, limits.API_TRANSACTIONS_LISTED_MAX), "How many.", default=100),
            ),
            examples=(f'curl "$BASE/v1/accounts/{SAMPLE}/transactions?limit=10"',),
        ),
    )


def _state(value_schema: Any) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/apps",
            "list_apps",
            "State and proofs",
            "All applications: operations with their fields, spaces of the state.",
            state.apps,
            (Reply("The description, with JSON Schemas.", LIST_SCHEMA),),
            examples=('curl "$BASE/v1/apps"',),
        ),
        Route(
            "GET",
            "/v1/apps/{app}",
            "app",
            "State and proofs",
            "One application.",
            state.app,
            (Reply("Its description, with JSON Schemas.", LIST_SCHEMA),),
            parameters=(Parameter("app", Text(protocol_limits.NAME_BYTES_MAX), "Its name.", place="path"),),
            problems=(errors.NOT_FOUND,),
            examples=('curl "$BASE/v1/apps/evidence"',),
        ),
        Route(
            "GET",
            "/v1/state/{space}",
            "state_value",
            "State and proofs",
            "One value of the state, readable.",
            state.value,
            (Reply("The value at the newest executed height.", value_schema),),
            more="Parts of keys are written as the space says: bytes in hex, integers in decimals, text as it is. "
            "Where a space says that its records have a second key, the name of that stands for the space too: "
            "`evidence.digest` finds an owner's first record of a digest; `evidence.latest` names the newest, if there "
            "are more, and `evidence.end` says whether one was superseded or revoked.",
            parameters=(SPACE, KEY),
            problems=(errors.NOT_FOUND, errors.TOO_LARGE),
            examples=('curl "$BASE/v1/state/ledger.member?key=alpha"',),
        ),
        Route(
            "GET",
            "/v1/state/{space}/proof",
            "state_proof",
            "State and proofs",
            "The proof file of a value, or of its absence.",
            state.proof,
            (Reply("An encoded `StateProof`, at the newest height that a final header covers.", OCTETS, PROOF),),
            more="Of a space whose records are only ever added, a record can be proven, and not that there is none: "
            "`not_found`. Whether one still holds stands in another space, where absence is proven: `evidence.end`. "
            "The file holds a whole page, records of other accounts too: to strangers give the proof of a receipt.",
            parameters=(SPACE, KEY),
            problems=(errors.NOT_FOUND, errors.NOT_COVERED, errors.TOO_LARGE, errors.SEGMENT_DAMAGED),
            examples=('curl -O -J "$BASE/v1/state/ledger.member/proof?key=alpha"',),
        ),
        Route(
            "POST",
            "/v1/proofs/verify",
            "verify_proof",
            "State and proofs",
            "What a proof file shows; a convenience.",
            state.verify,
            (Reply("Whether it verifies, and what it says.", schemas.Verified),),
            more="Offline verification needs no node: `papilio proof verify FILE` with network.toml.",
            body=Body({PROOF: OCTETS, "application/octet-stream": OCTETS}, "The file."),
            problems=(errors.TOO_LARGE,),
            examples=(VERIFY_EXAMPLE,),
        ),
    )


def _events() -> tuple[Route, ...]:
    position = "`LOG_INDEX`, `LOG_INDEX@HEIGHT`, `-1` (the beginning) or `now`."
    return (
        Route(
            "GET",
            "/v1/events",
            "events",
            "Events",
            "Everything that becomes final, in order, from any position on.",
            events.events,
            (Reply("Server-sent events: `receipt`, `block`, `end`.", {"type": "string"}, EVENTS),),
            more="The ids of events are positions: give the last one back and exactly what follows comes, at this node "
            "or another. `receipt`: log_index, transaction, height, time_ms, position, code, account, operations. "
            "`block`, after its receipts: height, hash, time_ms, log_size, state_root. `end`: why the stream is over.",
            parameters=(
                Parameter("after", Position(), f"Position after which to begin: {position}", default=(-1, None)),
                Parameter(
                    "last-event-id", Position(), "The same, as browsers send it; wins.", place="header", default=...
                ),
                Parameter(
                    "app", Text(protocol_limits.NAME_BYTES_MAX), "Only receipts with an operation of this application."
                ),
                Parameter("account", HASH, "Only receipts of this sender."),
            ),
            problems=(errors.PRUNED, errors.API_BUSY),
            examples=('curl -N "$BASE/v1/events?after=now"',),
        ),
    )


def _node() -> tuple[Route, ...]:
    tag = "Network and node"
    ready = (errors.NOT_READY, errors.STOPPING)
    return (
        Route(
            "GET",
            "/v1/network",
            "network",
            tag,
            "What all nodes share.",
            status.network,
            (Reply("Name, id, members, validators, parameters.", schemas.Network),),
            examples=('curl "$BASE/v1/network"',),
        ),
        Route(
            "GET",
            "/v1/node",
            "node",
            tag,
            "How this node is.",
            status.node,
            (Reply("Heights, peers, pool, disk.", schemas.Node),),
            examples=('curl "$BASE/v1/node"',),
        ),
        Route(
            "GET",
            "/v1/node/store",
            "store_health",
            tag,
            "What this node knows of damage on its disk.",
            status.store_health,
            (Reply("The scrub, and damaged blocks.", schemas.StoreHealth),),
            examples=('curl "$BASE/v1/node/store"',),
        ),
        Route(
            "POST",
            "/v1/node/scrub",
            "scrub",
            tag,
            "Begin to read all blocks on this node's disk again now, at the usual gentle rate.",
            status.scrub,
            (Reply("The scrub, and damaged blocks.", schemas.StoreHealth),),
            examples=('curl -X POST "$BASE/v1/node/scrub"',),
        ),
        Route(
            "GET",
            "/v1/health/live",
            "live",
            tag,
            "Whether the process answers.",
            status.live,
            (Reply("It does.", schemas.Health),),
        ),
        Route(
            "GET",
            "/v1/health/ready",
            "ready",
            tag,
            "Whether to send clients here.",
            status.ready,
            (Reply("Yes.", schemas.Health),),
            problems=ready,
        ),
        Route(
            "GET",
            "/metrics",
            "metrics",
            tag,
            "Metrics for Prometheus.",
            status.metrics,
            (Reply("Text format 0.0.4.", {"type": "string"}, METRICS),),
        ),
    )


def _description() -> tuple[Route, ...]:
    tag = "Description"
    return (
        Route(
            "GET",
            "/",
            "landing",
            tag,
            "What this is.",
            status.landing,
            (Reply("Where to read on.", schemas.Landing), Reply("The same as a page.", {"type": "string"}, HTML)),
        ),
        Route(
            "GET",
            "/openapi.json",
            "openapi",
            tag,
            "This description, as OpenAPI 3.1.",
            status.openapi,
            (Reply("The document.", {"type": "object"}),),
        ),
        Route(
            "GET",
            "/docs",
            "docs",
            tag,
            "This description, as a page.",
            status.docs,
            (Reply("A page that needs nothing else.", {"type": "string"}, HTML),),
        ),
    )
