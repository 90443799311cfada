"""The API's own metrics, from its counters."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from daemon.api.counters import SECONDS_BOUNDS, ApiCounters
from daemon.observe.metrics import Source, counter, counters, gauge, histogram


def api_source(counted: ApiCounters) -> Source:
    """What the API counts."""

    def collect() -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "papilio_api_answers", "Answers, by operation and status.", labels=["operation", "status"]
        )
        for (operation, status), count in sorted(counted.answers.items()):
            answers.add_metric([operation, str(status)], count)
        yield answers
        yield histogram(
            "api_answer_seconds",
            "Time to an answer, by operation; waiting for finality included.",
            "operation",
            SECONDS_BOUNDS,
            {name: (one.counts, one.sum) for name, one in counted.seconds.items()},
        )
        yield counters("api_problems", "Problems answered, by code.", "code", counted.problems)
        yield gauge("api_connections", "Connections of clients.", counted.connections)
        yield counter("api_connections_accepted", "Connections taken.", counted.connections_accepted)
        yield counter("api_connections_refused", "Connections turned away: too many.", counted.connections_refused)
        yield counters("api_connections_ended", "Connections that ended, by why.", "why", counted.connections_ended)
        yield gauge("api_streams", "Event streams.", counted.streams)
        yield counter("api_events_sent", "Events written to streams.", counted.events_sent)
        yield counter("api_received_bytes", "Bytes from clients.", counted.bytes_in)
        yield counter("api_sent_bytes", "Bytes to clients.", counted.bytes_out)

    return collect
