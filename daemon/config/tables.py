"""The part `[genesis]` of network.toml as tables; bounds are those of the record in `protocol.ledger.genesis`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from daemon.config.values import (
    AccountName,
    HashText,
    Moment,
    NameText,
    NetworkId,
    PublicKey,
    Table,
    bounded,
)
from protocol import limits

HOUR_MS = 3_600_000


class ParametersTable(Table):
    """The network's choices. Times in ms, sizes in bytes, heights in blocks."""

    delta_ms: int = bounded(1, 600_000, "Delay within which messages and one full batch arrive in good times.")
    idle_interval_ms: int = bounded(1, 24 * HOUR_MS, "Without work, an empty block after so long.")
    backoff_max: int = bounded(1, limits.BACKOFF_MAX, "Most that timers are multiplied by when views keep failing.")
    retry_interval_ms: int = bounded(1, 600_000, "What is unanswered is sent again after so long.")
    batch_bytes: int = bounded(1, limits.BATCH_BYTES_MAX, "A batch is sealed once it holds so much.")
    batch_wait_ms: int = bounded(0, 60_000, "A batch is sealed once its oldest envelope has waited so long.")
    relay_delay_ms: int = bounded(1, 600_000, "How long a node trusts others to deliver before it does so itself.")
    envelope_ttl_max_ms: int = bounded(
        1_000, limits.ENVELOPE_TTL_MS_MAX, "How far ahead of block time an envelope's valid_until may be."
    )
    batch_ttl_max: int = bounded(5, limits.BATCH_TTL_MAX, "A batch can be referenced for so many heights.")
    execution_lag_max: int = bounded(
        1, limits.EXECUTION_LAG_MAX, "Blocks that may be final and not covered by a header."
    )
    clock_drift_max_ms: int = bounded(0, HOUR_MS, "How far ahead of the local clock a block's time may be.")
    block_references_max: int = bounded(1, limits.REFERENCES_MAX, "Batches of one block.")
    block_bytes_max: int = bounded(limits.BATCH_BYTES_MAX, limits.BLOCK_BYTES_MAX, "Bytes of one block's batches.")
    block_envelopes_max: int = bounded(
        limits.BATCH_ENVELOPES_MAX, limits.BLOCK_ENVELOPES_MAX, "Envelopes of one block."
    )
    state_quota_bytes: int = bounded(
        0, limits.U63_MAX, "New state that a member's nodes may seal, for members without a quota of their own."
    )


class RulesTable(Table):
    """From which height which rules hold."""

    height: int = bounded(1, limits.U53_MAX, "First height of these rules; the first table has 1.")
    version: int = bounded(1, 65_535, "Version of the rules.")


class MemberTable(Table):
    """An institution of the consortium."""

    name: Annotated[NameText, Field(description="Its name, unique in the network.")]
    keys: Annotated[
        tuple[PublicKey, ...],
        Field(
            max_length=limits.ACCOUNT_KEYS_MAX,
            description="Public keys of its account. The account is named by the lowest of them.",
        ),
    ]
    threshold: int = bounded(1, limits.SIGNERS_MAX, "How many of these keys must sign together.")
    state_quota_bytes: int | None = bounded(
        0, limits.U63_MAX, "New state that its nodes may seal; without it, the parameter's.", default=None
    )

    account: Annotated[
        AccountName | None,
        Field(description="Its account, in a network that goes on from another: its keys may have been replaced."),
    ] = None


class ResultsTable(Table):
    """What executing all blocks up to a height has given."""

    height: int = bounded(1, limits.U53_MAX, "The height.")
    state_root: Annotated[HashText, Field(description="Root of the state.")]
    log_size: int = bounded(0, limits.U63_MAX, "Receipts in the log.")
    log_root: Annotated[HashText, Field(description="Root of the log of receipts.")]


class AncestorTable(Table):
    """A network that this one goes on from."""

    network_id: Annotated[NetworkId, Field(description="Its id.")]
    header: Annotated[HashText, Field(description="Hash of the header of its last kept block.")]
    document: Annotated[HashText, Field(description="Digest of the restart document by which it was followed.")]
    results: Annotated[ResultsTable, Field(description="What stood at its last kept block.")]


class ValidatorTable(Table):
    """A node that votes."""

    member: Annotated[NameText, Field(description="Whose node it is.")]
    node_key: Annotated[PublicKey, Field(description="Key of its channel to other nodes.")]
    voting_key: Annotated[PublicKey, Field(description="Key of its votes.")]
    power: int = bounded(1, limits.U53_MAX, "Its voting power. More than two thirds of all power decide.")


class ObserverTable(Table):
    """A node that only follows."""

    member: Annotated[NameText | None, Field(description="Whose node it is, if anyone's in particular.")] = None
    node_key: Annotated[PublicKey, Field(description="Key of its channel to other nodes.")]


class GenesisTable(Table):
    """What the network begins with."""

    name: Annotated[NameText, Field(description="The network's name.")]
    created: Annotated[Moment, Field(description="When it was created.")]
    parameters: Annotated[ParametersTable, Field(description="The network's choices.")]
    rules: Annotated[
        tuple[RulesTable, ...],
        Field(
            min_length=1,
            max_length=limits.RULES_VERSIONS_MAX,
            description="Which version of the rules holds from which height on.",
        ),
    ]
    members: Annotated[
        tuple[MemberTable, ...],
        Field(min_length=1, max_length=limits.MEMBERS_MAX, description="The institutions of the consortium."),
    ]
    validators: Annotated[
        tuple[ValidatorTable, ...],
        Field(min_length=1, max_length=limits.VALIDATORS_MAX, description="The nodes that vote."),
    ]
    observers: Annotated[
        tuple[ObserverTable, ...],
        Field(max_length=limits.OBSERVERS_MAX, description="Nodes that only follow, known to all from the start."),
    ] = ()
    ancestors: Annotated[
        tuple[AncestorTable, ...],
        Field(
            max_length=limits.ANCESTORS_MAX,
            description="Networks that this one goes on from, the oldest first; written by papilio restart plan.",
        ),
    ] = ()
    begins: Annotated[
        ResultsTable | None, Field(description="With ancestors: what the network begins with at the last one's height.")
    ] = None
