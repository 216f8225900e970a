#!/usr/bin/python3
"""How long writes stop when the master fails, and that they do not stop when it does not.

    make bench-failover [FLAVOUR=mariadb] [SCENARIO=kill,leader+kill,...] [RUNS=10]

Prints one line a scenario:
    SCENARIO FLAVOUR runs=N outage_ms min= p50= p99= max= lost=N
A false-alarm scenario (ALARM_SECONDS, default 30, with the writer running) has a second line: the epoch before and
after, and the row of the diagnosis that says why the master was left alone.

Each run has servers, managers and directory of its own, with durable settings, and a writer with at least ROWS (500)
acknowledged rows before the fault and after it. Exit 1 when a row was lost, a figure is over its bound, or a master was
replaced without need. What goes on is said on stderr.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import namespaces  # noqa: E402
from faults import Stage, run_manager_cut, run_sql_stopped  # noqa: E402
from scene import Failure, Interrupted, Scene, install_signal_handlers  # noqa: E402

FAULTS = {  # scenario: (bound of p50, bound of max) in ms; None: DESIGN §9 gives a bound, issue 2 no figure.
    "kill": (400, 1000),
    "leader+kill": (None, 2000),
    "freeze": (None, None),
}
FALSE_ALARMS = ("manager-cut", "leader-cut", "sql-stopped-one", "sql-stopped-all")
GAP_BOUND_MS = 200
ROWS = int(os.environ.get("ROWS") or 500)
SECONDS = float(os.environ.get("ALARM_SECONDS") or 30)


def note(text):
    print(text, file=sys.stderr, flush=True)


def percentile(values, percent):
    """Nearest rank: a value that was measured, the largest one for few runs."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def figures(scenario, flavour, outages, lost):
    return (f"{scenario} {flavour} runs={len(outages)} outage_ms min={min(outages):.0f}"
            f" p50={percentile(outages, 50):.0f} p99={percentile(outages, 99):.0f} max={max(outages):.0f} lost={lost}")


def run_fault(scenario):
    """One run: (outage_ms, lost rows)."""
    with Scene("bench") as scene:
        stage = Stage(scene)
        try:
            stage.set_up()
            stage.write(ROWS)
            stage.fault(scenario)
            stage.write(ROWS)
            stage.wait_replaced()
            if scenario == "freeze":
                stage.thaw()
            outage_ms, _, lost = stage.finish()
        except Failure:
            note(stage.describe())
            raise
        return outage_ms, len(lost)


def bench_fault(scenario, flavour, runs):
    outages, lost = [], 0
    for i in range(runs):
        start = time.monotonic()
        outage_ms, lost_now = run_fault(scenario)
        outages.append(outage_ms)
        lost += lost_now
        note(f"  {scenario} {i + 1}/{runs}: {outage_ms:.0f} ms, lost {lost_now} ({time.monotonic() - start:.0f} s)")
    print(figures(scenario, flavour, outages, lost), flush=True)
    p50_bound, max_bound = FAULTS[scenario]
    good = lost == 0
    for name, value, bound in (("p50", percentile(outages, 50), p50_bound), ("max", max(outages), max_bound)):
        if bound is not None and value > bound:
            note(f"  {scenario}: {name} is over its bound of {bound} ms")
            good = False
    return good


def run_false_alarm(scenario):
    with Scene("bench") as scene:
        if scenario.startswith("sql-stopped"):
            return run_sql_stopped(scene, scenario == "sql-stopped-all", SECONDS)
        with namespaces.World() as world:
            return run_manager_cut(scene, world, scenario == "leader-cut", SECONDS)


def bench_false_alarm(scenario, flavour, runs):
    gaps, lost, good = [], 0, True
    for _ in range(runs):
        gap_ms, before, after, (row, means, acts, _), lost_now = run_false_alarm(scenario)
        gaps.append(gap_ms)
        lost += len(lost_now)
        good = good and gap_ms < GAP_BOUND_MS and before == after and not acts and not lost_now
    print(figures(scenario, flavour, gaps, lost), flush=True)
    print(f"    {SECONDS:.0f} s, epoch {before} -> {after}, explain: {row}: {means}", flush=True)
    if not good:
        note(f"  {scenario}: the gap must be below {GAP_BOUND_MS} ms, the epoch unchanged, and the row one that does"
             " not act")
    return good


def main():
    flavour = os.environ.get("FLAVOUR") or "mariadb"
    asked = (os.environ.get("SCENARIO") or ",".join([*FAULTS, *FALSE_ALARMS])).replace(",", " ").split()
    runs = int(os.environ.get("RUNS") or 10)
    unknown = [s for s in asked if s not in FAULTS and s not in FALSE_ALARMS]
    if flavour != "mariadb" or unknown or runs < 1:
        note(f"bench-failover: FLAVOUR: mariadb; SCENARIO: {', '.join([*FAULTS, *FALSE_ALARMS])}; RUNS: 1 or more"
             + (f"; not {', '.join(unknown)}" if unknown else ""))
        return 2
    install_signal_handlers()
    good = True
    try:
        for scenario in asked:
            if scenario in FAULTS:
                good = bench_fault(scenario, flavour, runs) and good
            else:
                good = bench_false_alarm(scenario, flavour, runs if os.environ.get("SCENARIO") else 1) and good
    except Failure as e:
        note(f"bench-failover: {e}")
        return 1
    except Interrupted as e:
        note(f"bench-failover: {e}")
        return 128 + e.number
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
