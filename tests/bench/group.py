#!/usr/bin/python3
"""Figures of a group of three managers on this machine: `make bench` (tests/bench/bench.mk).

    commit_ms p50= p99=         a note asked of the leader by one client on one connection, from the question to the
                                answer (tests/bench/commit.c says what lies between), one after the other, 5 ms apart
    election_ms p50= max=       from SIGKILL of the leader to the moment at which another manager has applied the first
                                entry of its own term (event raft.leader in its log); default timers; the killed one
                                comes back and catches up before the next run
    idle cpu_pct= rss_mb= dir_mb=   the worst of the three managers, while they look after one cluster of four real
                                servers at default probes and nothing happens; CPU in per cent of one core

Exit 1 when a figure is over its bound. What goes on is said on stderr.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from cluster import Cluster  # noqa: E402
from managers import Group  # noqa: E402
from measure import commits, elections, has_tls, load, note, number, over, percentile  # noqa: E402
from scene import Failure, Interrupted, Scene, install_signal_handlers, wait_for  # noqa: E402

COMMITS, PERIOD_MS = number("N", 2000), 5
RUNS = number("RUNS", 20)
IDLE_SECONDS = number("IDLE_SECONDS", 60)
SETTLE_SECONDS = 10
BOUNDS = {"commit p50": 1.5, "commit p99": 15, "election p50": 700, "cpu": 1, "rss": 40, "dir": 8}


def bench_commit():
    with Scene("bench") as scene:
        group = Group(scene)
        took = commits(scene, group, group.start(), COMMITS, PERIOD_MS)
        tls = has_tls(group)
        group.stop()
    p50, p99 = percentile(took, 50), percentile(took, 99)
    print(f"commit_ms p50={p50:.2f} p99={p99:.2f} max={max(took):.2f} n={len(took)} tls={int(tls)} {load()}",
          flush=True)
    return not over("commit p50", p50, BOUNDS["commit p50"]) | over("commit p99", p99, BOUNDS["commit p99"])


def elect_once(group):
    """Kills the leader; milliseconds until another manager leads and has applied its first entry."""
    leader = group.wait_leader()
    others = [m for m in group.managers if m is not leader]
    before = {m: len(elections(m)) for m in others}
    killed_at = time.time()
    leader.kill()

    def new():
        return [e for m in others for e in elections(m)[before[m]:]]

    wait_for("another manager leads", 30, new)
    took = (min(new())[0] - killed_at) * 1000
    group.scene.end(leader.process)
    leader.start()
    commits(group.scene, group, group.wait_leader(), 1, 0)
    wait_for(f"{leader.name} follows again", 30, lambda: follows(group, leader))
    return took


def follows(group, manager):
    """Has it applied what the others have?"""
    states = [group.status(m) for m in group.managers]
    return all(states) and len({s["leader"] for s in states}) == 1


def bench_election():
    took = []
    with Scene("bench") as scene:
        group = Group(scene)
        group.start()
        for i in range(RUNS):
            took.append(elect_once(group))
            note(f"  election {i + 1}/{RUNS}: {took[-1]:.0f} ms")
        group.stop()
    p50 = percentile(took, 50)
    print(f"election_ms p50={p50:.0f} max={max(took):.0f} min={min(took):.0f} runs={len(took)}"
          f" tls={int(has_tls(group))} {load()}", flush=True)
    return not over("election p50", p50, BOUNDS["election p50"])


def cpu_seconds(manager):
    with open(f"/proc/{manager.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(manager):
    with open(f"/proc/{manager.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024


def dir_mb(path):
    return sum(os.stat(os.path.join(root, name)).st_blocks * 512
               for root, _, names in os.walk(path) for name in names) / 2**20


def bench_idle():
    with Scene("bench") as scene:
        cluster, group = Cluster(scene), Group(scene)
        cluster.start()
        group.start()
        group.add_cluster(cluster.file())
        group.wait_ok("db1")
        time.sleep(SETTLE_SECONDS)
        start = {m.name: (time.monotonic(), cpu_seconds(m)) for m in group.managers}
        time.sleep(IDLE_SECONDS)
        cpu = {m.name: 100 * (cpu_seconds(m) - start[m.name][1]) / (time.monotonic() - start[m.name][0])
               for m in group.managers}
        rss = {m.name: rss_mb(m) for m in group.managers}
        size = {m.name: dir_mb(m.data_dir) for m in group.managers}
        note(f"  leader {group.leader().name}; cpu {cpu}; rss {rss}; dir {size}")
        group.stop()
    worst = {"cpu": max(cpu.values()), "rss": max(rss.values()), "dir": max(size.values())}
    print(f"idle cpu_pct={worst['cpu']:.2f} rss_mb={worst['rss']:.1f} dir_mb={worst['dir']:.1f}"
          f" seconds={IDLE_SECONDS} servers=4 tls={int(has_tls(group))} {load()}", flush=True)
    return not any([over(name, value, BOUNDS[name]) for name, value in worst.items()])


BENCHES = {"commit": bench_commit, "election": bench_election, "idle": bench_idle}


def main():
    asked = (os.environ.get("WHAT") or " ".join(BENCHES)).replace(",", " ").split()
    if set(asked) - set(BENCHES):
        note(f"bench: WHAT: {', '.join(BENCHES)}")
        return 2
    install_signal_handlers()
    try:
        good = [BENCHES[what]() for what in asked]
    except Failure as e:
        note(f"bench: {e}")
        return 1
    except Interrupted as e:
        note(f"bench: {e}")
        return 128 + e.number
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
