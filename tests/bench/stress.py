#!/usr/bin/python3
"""No election without need: three managers at default timers while stress-ng takes the CPUs. `make bench-stress`.

    stress seconds= cpus= elections= term= commit_ms p50= p99= n=

elections: how often a manager began to lead in that time; 0 is the bound. A note is committed every 200 ms, so that the
group is at work, and its times are printed without a bound. Exit 1 when there was an election or a commit failed.
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from managers import Group  # noqa: E402
from measure import elections, has_tls, load, note, number, percentile, read_commits, start_commits  # noqa: E402
from scene import Failure, Interrupted, Scene, install_signal_handlers, tail  # noqa: E402

SECONDS = number("STRESS_SECONDS", 600)
CPUS = number("CPUS", 4)
PERIOD_MS = 200
SETTLE_SECONDS = 3


def all_elections(group):
    return sorted(e for m in group.managers for e in elections(m))


def watch(group, stress, client):
    """Waits the time out; says each election at once."""
    before = told = len(all_elections(group))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(1)
        seen = all_elections(group)
        for at, term in seen[told:]:
            note(f"  election: term {term} at {time.strftime('%H:%M:%S', time.localtime(at))}")
        told = len(seen)
        for child in (stress, client):
            if child.poll() is not None:
                raise Failure(f"{child.name} ended too early:\n" + tail(group.scene.log_path(child.name)))
    return told - before


def run():
    with Scene("bench") as scene:
        group = Group(scene)
        leader = group.start()
        time.sleep(SETTLE_SECONDS)
        first = all_elections(group)[-1][1]
        client, path = start_commits(scene, group, leader, 10**6, PERIOD_MS)
        stress = scene.spawn("stress-ng", ["stress-ng", "--cpu", str(CPUS), "--timeout", str(SECONDS + 60)])
        seen = watch(group, stress, client)
        busy = load()
        scene.end(stress, signal.SIGTERM)
        scene.end(client)
        took = read_commits(path)
        last = all_elections(group)[-1][1]
        group.stop()
    print(f"stress seconds={SECONDS} cpus={CPUS} elections={seen} term={first}->{last}"
          f" commit_ms p50={percentile(took, 50):.2f} p99={percentile(took, 99):.2f} n={len(took)}"
          f" tls={int(has_tls(group))} {busy}", flush=True)
    return 0 if seen == 0 and first == last else 1


def main():
    install_signal_handlers()
    try:
        return run()
    except Failure as e:
        note(f"bench-stress: {e}")
        return 1
    except Interrupted as e:
        note(f"bench-stress: {e}")
        return 128 + e.number


if __name__ == "__main__":
    sys.exit(main())
