"""Joining what generators saw, and summing it up: on ten envelopes made up by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from daemon.bench.judging import Sent
from daemon.bench.loading import _joined, _more
from daemon.bench.plans import NO_ANSWER, BystandPlan, FollowPlan, PostPlan, Seen, read_plan, write_plan
from daemon.bench.trial import Offer, by_part
from tests.bench.made import make_trial, transaction


def test_latency_counts_from_when_it_was_due_and_rates_count_code_ok_alone() -> None:
    found = make_trial().summary()
    assert (found["sent"], found["final_ok"]) == ({"good": 9, "bad": 1}, 8)
    assert found["answered"] == {"good": {"taken": 9}, "bad": {"bad_signature": 1}}
    assert found["latency_final"] == {
        "count": 8, "p50_ms": 50.0, "p90_ms": 50.0, "p99_ms": 50.0, "max_ms": 50.0, "mean_ms": 50.0
    }  # fmt: skip
    assert found["latency_provable"]["p50_ms"] == 100.0
    assert found["final_a_second"] == 8.0
    assert found["wall_seconds"] == 1.0
    assert found["histogram_ms"] == [(50.119, 8)]


def test_what_becomes_final_after_the_time_lengthens_the_time() -> None:
    trial = make_trial()
    trial.final = {**trial.final, transaction(8): (1003.8, "ok")}
    found = trial.summary()
    assert (found["final_ok"], found["wall_seconds"], found["final_a_second"]) == (9, 3.8, 2.4)


def test_other_codes_are_counted_apart() -> None:
    trial = make_trial()
    trial.final = {**trial.final, transaction(0): (1000.05, "insufficient_balance")}
    found = trial.summary()
    assert (found["final_ok"], found["final_other"]) == (7, {"insufficient_balance": 1})


def test_cpu_is_between_begin_and_end_by_node_and_part() -> None:
    cpu = make_trial().summary()["cpu"]
    assert cpu["nodes_seconds"]["alder"] == {"loop": 0.5, "threads": 0.0, "verify": 0.2, "execute": 0.1}
    assert cpu["total_seconds"] == 1.6
    assert cpu["ms_a_transaction"] == 200.0
    assert (cpu["generators_seconds"], cpu["follower_seconds"], cpu["generators_late_ms_max"]) == ([0.02], 0.01, 3.0)


def test_cpu_by_part_is_what_processes_used_and_what_the_node_says_of_its_own() -> None:
    cpu = make_trial().summary()["cpu"]
    assert cpu["nodes_parts_seconds"]["alder"] == {
        "network": 0.12, "consensus": 0.25, "signatures": 0.2, "execution": 0.1, "storage": 0.06, "api": 0.0,
        "other": 0.06,
    }  # fmt: skip
    assert cpu["nodes_parts_seconds"]["birch"]["other"] == 0.5, "a node that says nothing"
    assert sum(cpu["parts_seconds"].values()) == pytest.approx(cpu["total_seconds"], abs=0.05)
    assert by_part({"loop": 1.0}, {"api": 1.5})["other"] == 0.0, "the system counts in ticks of 10 ms"


def test_statuses_and_memory_over_time() -> None:
    trial = make_trial()
    trial.meters.memory = [(999.0, {"alder": 1}), (1000.5, {"alder": 3 << 20}), (1001.0, {"birch": 1 << 20})]
    found = trial.summary()
    assert found["statuses"] == {"200": 9, "429": 1}
    assert found["memory_series"] == {"at_s": [0.5, 1.0], "mib": {"alder": [3.0, None], "birch": [None, 1.0]}}
    assert (found["envelope_bytes"], found["beside"]) == (256, None)


def test_blocks_wire_and_disk() -> None:
    found = make_trial().summary()
    assert found["blocks"] == {"count": 8, "a_second": 8.0, "longest_gap_ms": 200.0}
    assert found["wire"]["bytes_a_transaction"] == 1000
    assert found["wire"]["nodes_bytes"]["birch"] == {
        "to_nodes": 3000, "from_nodes": 0, "to_clients": 9, "from_clients": 0
    }  # fmt: skip
    assert found["disk"]["bytes_a_transaction_and_node"] == 512
    assert found["disk"]["times_envelopes"] == 2.0
    assert found["disk"]["nodes_bytes"]["alder"] == {"state": 4096, "journal": 0}
    assert found["disk"]["grown_bytes_a_node"] == {"journal": 0, "state": 4096}


def test_a_transaction_counts_from_another_node_than_it_was_posted_to() -> None:
    trial = make_trial()
    first, second = dict(trial.followed.final[0]), dict(trial.followed.final[1])
    second[transaction(0)] = (1000.9, "ok")  # posted to the first node: the second's time counts
    first[transaction(1)] = (1000.8, "ok")  # posted to the second: the first's
    trial.followed.final = [first, second]
    joined = _joined(trial, 2)
    assert joined[transaction(0)][0] == 1000.9
    assert joined[transaction(1)][0] == 1000.8


def test_what_clients_know_for_the_judgement() -> None:
    sent = Sent()
    make_trial().sent(sent)
    assert sent.bad == {transaction(9)}
    assert sent.good[transaction(8)] == ""
    assert sent.good[transaction(0)] == "ok"
    assert (len(sent.good), sent.refused, sent.doubtful) == (9, set(), set())
    trial = make_trial()
    trial.posted[0].posted[1].code = "pool_full"
    trial.posted[0].posted[2].code = NO_ANSWER
    sent = Sent()
    trial.sent(sent)
    assert (len(sent.good), sent.refused, sent.doubtful) == (7, {transaction(1)}, {transaction(2)})


def test_counters_of_a_node_that_was_started_anew_are_not_negative() -> None:
    assert _more({"a": 5, "b": 1}, {"a": 3, "b": 4, "c": 2}) == {"b": 3, "c": 2}


def test_an_offer_is_so_many_requests() -> None:
    offer = Offer(mix="single", envelopes_a_second=1000, seconds=3, each=50, connections=16, ask=False)
    assert offer.requests == 60


def test_plans_and_results_survive_the_way(tmp_path: Path) -> None:
    follow = FollowPlan(targets=[("127.0.0.1", 1)], receipts=True, prove_every=3, out="x")
    post = PostPlan(
        network="n", seed="00", issuer="00", workload="single", targets=[("127.0.0.1", 1)], first=0, requests=1, each=1,
        envelopes_a_second=1.0, burst=1.0, index=0, generators=1, connections=1, ask=True, prove_every=0, out="x",
    )  # fmt: skip
    assert read_plan(write_plan(follow)) == follow
    assert read_plan(write_plan(post)) == post
    beside = BystandPlan(targets=[("127.0.0.1", 1)], idle=3, slow=1, out="x")
    assert read_plan(write_plan(beside)) == beside
    trial = make_trial()
    for seen in (*trial.posted, trial.followed):
        seen.write(tmp_path / "seen")
        assert asdict(Seen.read(tmp_path / "seen")) == asdict(seen)
