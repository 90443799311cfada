"""Prometheus metrics of a node: names, units, and what they mean, in one place.

Nothing is measured here. The parts of the node count with plain integers (a count costs nothing, and no part knows
this library); when somebody asks, `Metrics` reads them and prometheus-client writes the text. Names begin with
`papilio_` and the part (`node`, `consensus`, `ledger`, `pool`, `net`, `store`, `api`), end with the unit, and are
stable: dashboards are built on them. `process_*` are the library's.

Labels have few values: codes of the table, names of operations and notes, never what a client or peer sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon import VERSION
from daemon.observe.lines import LEVELS

Source = Callable[[], Iterable[Metric]]


class Metrics(Collector):
    """`text` is the answer to a scrape. sources: asked anew each time, in this order."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = tuple(sources)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        for source in self._sources:
            yield from source()

    def text(self) -> bytes:
        """Prometheus text format 0.0.4."""
        return generate_latest(self._registry)


def gauge(name: str, words: str, value: float) -> Metric:
    """What goes up and down."""
    return GaugeMetricFamily(f"papilio_{name}", words, value=value)


def counter(name: str, words: str, value: float) -> Metric:
    """What only grows; `_total` is added to the name."""
    return CounterMetricFamily(f"papilio_{name}", words, value=value)


def counters(name: str, words: str, label: str, values: Mapping[str, int]) -> Metric:
    """The same by a label, in the order of its values."""
    family = CounterMetricFamily(f"papilio_{name}", words, labels=[label])
    for key in sorted(values):
        family.add_metric([key], values[key])
    return family


def histogram(
    name: str, words: str, label: str, bounds: tuple[float, ...], values: Mapping[str, tuple[list[int], float]]
) -> Metric:
    """values: by label, counts for each bound and one for what is beyond, and the sum."""
    family = HistogramMetricFamily(f"papilio_{name}", words, labels=[label])
    for key in sorted(values):
        counts, total = values[key]
        buckets: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*bounds, float("inf")), counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), running))
        family.add_metric([key], buckets, total)
    return family


# -- The node ------------------------------------------------------------------------------------------

GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "view": ("consensus_view", "Current view."),
    "final_height": ("consensus_final_height", "Height of the newest final block."),
    "final_time_ms": ("consensus_final_time_milliseconds", "Block time of the newest final block, since 1970."),
    "voting": ("consensus_voting", "1 if this node votes."),
    "amnesiac": ("consensus_amnesiac", "1 while this validator does not know what it has signed."),
    "vote_floor": ("consensus_vote_floor", "At and below this view this validator signs nothing."),
    "memory_answers_missing": ("consensus_memory_answers_missing", "Validators whose answer a quorum still waits for."),
    "executed_height": ("ledger_executed_height", "Height of the newest executed block."),
    "covered_height": ("ledger_covered_height", "Height up to which receipts are provable."),
    "log_size": ("ledger_receipts", "Receipts in the log."),
    "pool_envelopes": ("pool_envelopes", "Envelopes that wait here to be sealed."),
    "pool_bytes": ("pool_bytes", "Their bytes."),
    "unordered_batches": ("pool_unordered_batches", "Batches held here that are not final."),
    "peers": ("net_peers", "Nodes with an open channel."),
    "syncing_to_height": ("node_sync_target_height", "Height that block sync is after; 0 while there is none."),
    "disk_full": ("store_disk_full", "1 if the disk is nearly full or takes no writes, so that nothing is accepted."),
    "first_height": ("store_first_height", "Lowest block that is kept here with its results."),
    "snapshots": ("store_snapshots", "Snapshots of the state that are served to joining nodes."),
    "snapshot_height": ("store_snapshot_height", "Height of the newest of them; 0 if there is none."),
    "inbox_urgent": ("node_inbox_urgent_inputs", "Votes and such that wait for a step."),
    "inbox_bulk": ("node_inbox_bulk_inputs", "Batches and such that wait for a step."),
    "checks_waiting": ("node_checks_waiting", "Jobs that wait for the verify workers."),
    "execute_waiting": ("node_execute_waiting_blocks", "Final blocks that wait for the execute worker."),
    "segments_waiting_bytes": ("store_segments_waiting_bytes", "Final blocks that wait to be written."),
    "journal_bytes": ("store_journal_bytes", "Bytes of the journal's generation."),
    "scrub_height": ("store_scrub_height", "Last block read again in this pass; 0 between two passes."),
    "blocks_damaged": ("store_damaged_blocks", "Blocks known to be damaged on disk, not mended yet."),
    "loop_step_ms_max": ("node_step_max_milliseconds", "Longest step of the node so far."),
    "api_posts_waiting": ("pool_posts_waiting", "Clients' posts that wait for their answer."),
    "api_finality_waiters": ("ledger_finality_waiters", "Transactions whose finality somebody waits for."),
}
"""What the runtime calls it -> name, words."""

COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "blocks": ("ledger_blocks", "Blocks executed since the start."),
    "transactions": ("ledger_transactions", "Transactions that became final since the start."),
    "transactions_failed": ("ledger_transactions_failed", "Of them refused by an application."),
    "transactions_skipped": ("ledger_envelopes_skipped", "Envelopes skipped in final blocks (L-7)."),
    "loop_steps": ("node_steps", "Steps of the node."),
    "journal_commits": ("store_journal_commits", "Group commits of the journal, one sync each."),
    "journal_rotations": ("store_journal_rotations", "Generations of the journal that were replaced."),
    "segments_syncs": ("store_segments_syncs", "Syncs of the segments."),
    "scrub_passes": ("store_scrub_passes", "Passes of the scrub over all blocks."),
    "scrub_blocks": ("store_scrub_blocks", "Blocks read again by the scrub."),
    "scrub_bytes": ("store_scrub_bytes", "Bytes read again by the scrub."),
    "blocks_found_damaged": ("store_blocks_found_damaged", "Blocks found damaged on disk."),
    "blocks_mended": ("store_blocks_mended", "Of them put right with blocks of peers."),
    "snapshot_answers": ("store_snapshot_answers", "Questions of joining nodes about snapshots that were answered."),
    "sends_dropped": ("net_sends_dropped", "Messages that a peer's line had no room for."),
    "checks_done": ("node_checks_done", "Jobs that the verify workers did."),
    "checks_failed": ("node_checks_failed", "Jobs that were lost with a worker."),
    "api_submitted": ("pool_envelopes_posted", "Envelopes that clients posted."),
    "api_admitted": ("pool_envelopes_admitted", "Of them taken into the pool."),
    "api_refused": ("pool_envelopes_refused", "Of them refused."),
}
"""The same for what only grows."""

LABELLED: Final[Mapping[str, tuple[str, str, str]]] = {
    "refused_": ("node_refusals", "Refusals, by code.", "code"),
    "note_": ("node_notes", "Notes of the node, by name.", "note"),
    "worker_lost_": ("node_workers_lost", "Worker processes that died, by kind.", "worker"),
    "node_": ("node_events", "What the node counts, by event.", "event"),
    "net_": ("net_traffic", "Bytes and frames of all channels, by kind.", "kind"),
}
"""Counters whose names begin so become one with a label."""

FROM_ZERO: Final = ("refused_pool_full", "worker_lost_execute", "worker_lost_verify", *(f"note_{n}" for n in LEVELS))
"""Shown before the first of them happens: an alert on `increase` does not see a series that begins at 1."""


def node_source(numbers: Callable[[], tuple[Mapping[str, int], Mapping[str, int]]]) -> Source:
    """What the node's parts count: (counters, gauges) by name. A name without words is not lost: see `other`."""

    def collect() -> Iterator[Metric]:
        counted, now = numbers()
        counted = {**dict.fromkeys(FROM_ZERO, 0), **counted}
        info = GaugeMetricFamily("papilio_node_info", "The program; always 1.", labels=["version"])
        info.add_metric([VERSION], 1)
        yield info
        for key, (name, words) in GAUGES.items():
            if key in now:
                yield gauge(name, words, now[key])
        for key, (name, words) in COUNTERS.items():
            yield counter(name, words, counted.get(key, 0))
        rest = {key: count for key, count in counted.items() if key not in COUNTERS}
        for prefix, (name, words, label) in LABELLED.items():
            mine = {key: rest.pop(key) for key in list(rest) if key.startswith(prefix)}
            yield counters(name, words, label, {key.removeprefix(prefix): count for key, count in mine.items()})
        yield counters("node_other", "Counters without words of their own.", "name", rest)
        other = GaugeMetricFamily("papilio_node_other_now", "Gauges without words of their own.", labels=["name"])
        for key in sorted(now.keys() - GAUGES.keys()):
            other.add_metric([key], now[key])
        yield other

    return collect


def disk_source(free_bytes: Callable[[], int | None]) -> Source:
    """Room on the data directory's disk."""

    def collect() -> Iterator[Metric]:
        free = free_bytes()
        if free is not None:
            yield gauge("store_disk_free_bytes", "Room on the data directory's disk.", free)

    return collect
