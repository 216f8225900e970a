#!/usr/bin/python3
"""What callers that are refused cost those who are not.

    make bench-bad-peers [ROUNDS=5] [NOTES=1000]

Three managers over mutual TLS, on one machine, commit small commands, one after the other: in each round NOTES without
company, then NOTES while every row of tests/lib/bad_peers.py comes again and again, twice a second. Prints, as medians
over the rounds, in ms:
    bad_peers commit_p99_before= after= refused=N
Exit 1 when the second is more than twice the first, or when the leader changed.

Bad peers live on other hosts. Here they would take turns with the managers on the same CPUs, and each handshake costs
them more than it costs the manager. No priority helps: a kernel that preempts lazily lets even a SCHED_IDLE thread run
on to the next tick (measured on two CPUs: 20 threads that compute 2 ms each now and then, at SCHED_IDLE, and connect to
nobody, take the p99 of commits from 0.69 to 2.25 ms). So they get a CPU of their own, and the managers and the client
have the others, before and among. It is the one with the fewest interrupts: what the disk says to a commit is passed on
by a kernel thread of the CPU that its interrupts go to, and that thread would wait for them, too. SHARED=1 leaves them
all on all CPUs. To stderr: what share of one CPU they used.
"""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from bad_peers import BadPeers, Load  # noqa: E402
from managers import Group  # noqa: E402
from pki import Pki  # noqa: E402
from scene import Failure, Interrupted, Scene, install_signal_handlers  # noqa: E402
from talk import Talk, percentile  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS") or 5)
NOTES = int(os.environ.get("NOTES") or 1000)
IS_SHARED = os.environ.get("SHARED") == "1"


def cpu_s(pids):
    """CPU time of processes so far, of their threads together."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            total += sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
    return total / os.sysconf("SC_CLK_TCK")


class Share:
    """What share of one CPU processes use from now until of()."""

    def __init__(self, *pids):
        self.pids, self.since, self.cpu = pids, time.monotonic(), cpu_s(pids)

    def of(self):
        return f"{100 * (cpu_s(self.pids) - self.cpu) / (time.monotonic() - self.since):.0f} %"


def interrupts():
    """Of each CPU, since the start."""
    counts = {}
    with open("/proc/interrupts") as f:
        numbers = [int(name[3:]) for name in f.readline().split()]
        for line in f:
            for cpu, n in zip(numbers, line.split()[1:]):
                counts[cpu] = counts.get(cpu, 0) + (int(n) if n.isdigit() else 0)
    return counts


def cpus():
    """Those of the managers and the client, and those of the bad peers."""
    usable = os.sched_getaffinity(0)
    if IS_SHARED or len(usable) < 2:
        return usable, usable
    counts = interrupts()
    calmest = min(sorted(usable), key=lambda cpu: counts.get(cpu, 0))
    return usable - {calmest}, {calmest}


def run(scene):
    """Medians of p99 before and among, and how many were refused."""
    ours, theirs = cpus()
    os.sched_setaffinity(0, ours)  # The managers inherit it.
    group = Group(scene)
    leader = group.start()
    term = group.status()["term"]
    BadPeers(group.pki, Pki(scene, name="other", directory="other"))
    talk = Talk.unix(leader.socket)
    calm, among, refused_n = [], [], 0
    for _ in range(ROUNDS):
        managers = [m.process.pid for m in group.managers]
        share = Share(*managers)
        calm.append(percentile(talk.measure_notes(NOTES), 99))
        said = share.of()
        load = Load(group.pki, [m.address for m in group.managers], theirs)
        share, bad = Share(*managers), Share(load.child.pid)
        among.append(percentile(talk.measure_notes(NOTES), 99))
        print(f"round: p99 {calm[-1]:.2f} ms, among bad peers {among[-1]:.2f} ms; CPU of the managers {said}, then "
              f"{share.of()}, of the bad peers {bad.of()}", file=sys.stderr, flush=True)
        refused_n += load.stop()
    talk.close()
    status = group.status()
    if (status["leader"], status["term"]) != (leader.name, term):
        raise Failure(f"the leader changed: term {term} to {status['term']}")
    group.stop()
    return statistics.median(calm), statistics.median(among), refused_n


def main():
    install_signal_handlers()
    try:
        with Scene("bench") as scene:
            before, after, refused_n = run(scene)
    except Interrupted as e:
        return 128 + e.number
    except Failure as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    print(f"bad_peers commit_p99_before={before:.2f} after={after:.2f} refused={refused_n}", flush=True)
    return 0 if after <= 2 * before else 1


if __name__ == "__main__":
    sys.exit(main())
