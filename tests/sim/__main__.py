"""The simulator's command line: `python -m tests.sim --scenario NAME --seed N`, or `--seeds A..B --jobs J`.

It stands here because `protocol` has no I/O. Reports go to standard output and are the same bytes each time;
what depends on the clock goes to standard error. Exit code 1 when a run violates a rule.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from protocol.sim.run import Report, run
from protocol.sim.scenarios import SCENARIOS


def say(text: str) -> None:
    """To standard output, at once: a long search is watched."""
    sys.stdout.write(text)
    sys.stdout.flush()


def one(name: str, seed: int) -> Report:
    return run(SCENARIOS[name], seed)


def several(names: list[str], first: int, last: int, jobs: int) -> int:
    """Run all seeds of all scenarios; print failures whole, and a line for each scenario."""
    failed = 0
    with ProcessPoolExecutor(jobs) as pool:
        for name in names:
            began = time.monotonic()
            faults: Counter[str] = Counter()
            simulated_ms = blocks = nullified = restarts = bad = settled = 0
            for report in pool.map(partial(one, name), range(first, last + 1), chunksize=4):
                faults.update(report.faults)
                simulated_ms += report.simulated_ms
                blocks += report.blocks
                nullified += report.nullified_views
                restarts += report.restarts
                settled = max(settled, report.settled_ms or 0)
                if not report.ok:
                    bad += 1
                    say(report.text())
            failed += bad
            counts = ", ".join(f"{fault} {count}" for fault, count in sorted(faults.items())) or "none"
            say(
                f"{name}: {last - first + 1} seeds, {bad} failed; {blocks} blocks, {nullified} views nullified, "
                f"{restarts} restarts; slowest settled in {settled} ms; faults: {counts}\n",
            )
            seconds = time.monotonic() - began
            sys.stderr.write(f"  {seconds:.1f} s, {simulated_ms / 1000 / seconds:.0f} simulated seconds a second\n")
    return 1 if failed else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--scenario", default="everything", help="a name, or `all`: " + ", ".join(SCENARIOS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", help="A..B, both included")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = list(SCENARIOS) if options.scenario == "all" else [options.scenario]
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    if options.seeds:
        first, _, last = options.seeds.partition("..")
        return several(names, int(first), int(last), options.jobs)
    began = time.monotonic()
    report = one(names[0], options.seed or 0)
    sys.stdout.write(report.text())
    seconds = time.monotonic() - began
    sys.stderr.write(f"{report.simulated_ms / 1000 / seconds:.1f} simulated seconds a second\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
