"""What a person reads after a run: the verdict first, what it is worth, and when what happened."""

from __future__ import annotations

from dataclasses import replace

from daemon.lab.possible import Refusal
from daemon.lab.report import LabReport, timeline
from protocol.sim.facts import Violation

GOOD = LabReport(
    scenario="made",
    words="made for a test",
    seed=3,
    nodes=2,
    violations=[],
    ran_ms=12_340,
    calm_ms=9_000,
    settled_ms=3_000,
    bound_ms=4_000,
    factor=1,
    left_out=[],
    blocks=7,
    nullified_views=1,
    restarts=1,
    stall_ms=(2_000, 5_000),
    faults={"crash": 1},
    missing=(),
    lines={"cut": 0, "delayed": 5},
    clients={"final": 4},
    refusals={},
    codes={"ok": 4},
    checked={"votes": "9 signed statements"},
    tip_height=7,
    state_root="ab" * 32,
    core_seconds=(3.0, 1.0),
    timeline=[(1_000, "crash 1 begins", [3, None]), (61_500, "node 1 is back", [12, 3])],
    command="papilio lab run made --seed 3",
)


def test_a_good_run() -> None:
    text = GOOD.text()
    assert text.startswith("lab made seed 3: ok\n")
    assert "settled 3.0 s after the last fault; the scenario wants it within 4.0 s" in text
    assert "longest without a final block: 3.0 s, from 2.0 s on" in text
    assert not any(word in text for word in ("LATE", "TOO BUSY", "never happened", "left out", "repeat with"))
    assert GOOD.facts()["ok"] is True
    assert GOOD.facts()["timeline"][0] == {"at_ms": 1_000, "words": "crash 1 begins", "heights": [3, None]}


def test_what_a_run_is_not_worth_is_said() -> None:
    left = [Refusal("at 1: clock_skew", "there is one clock")]
    late = replace(GOOD, settled_ms=9_000, core_seconds=(2.0, 30.0), missing=("pause",), left_out=left, factor=8)
    text = late.text()
    assert "LATE: settled 9.0 s" in text
    assert "TOO BUSY" in text
    assert "never happened: pause" in text
    assert "left out: at 1: clock_skew: there is one clock" in text
    assert "waiting divided by 8" in text
    assert (late.facts()["ok"], late.facts()["late"], late.facts()["busy"]) == (True, True, True)


def test_a_violated_rule_comes_first_and_the_command_last() -> None:
    wrong = [Violation("durability", "block 3 is gone", 1, 12_340_000), Violation("liveness", "no rest", None, 1_000)]
    text = replace(GOOD, violations=wrong, settled_ms=None, logs=["time  node 0"]).text()
    assert text.startswith("lab made seed 3: VIOLATED durability at node 1 after 12.3 s: block 3 is gone\n")
    assert "  also violated liveness after 0.0 s: no rest" in text
    assert "settled never" in text
    assert text.endswith("time  node 0\n\nrepeat with: papilio lab run made --seed 3\n")


def test_the_timeline_is_aligned() -> None:
    assert timeline(GOOD.timeline, 2) == [
        "     time  node 0 node 1  what happened",
        "    1.0 s       3      .  crash 1 begins",
        "   61.5 s      12      3  node 1 is back",
    ]
