"""Exactly once: many clients change the group's state while its leaders are killed and frozen; then what the clients
were told is compared with what the managers applied.

    tests/lib/exactly_once.py [--commands N] [--clients N] [--leaders N] [--seed N]

The witness is not the state but the managers' logs at level debug: one line for each entry of the Raft log that a
process applied, with its index, the request's id, the result, and whether it was a repetition. All processes of all
managers must tell the same of each index (restarts read the log again), and each manager must have applied each
acknowledged command, or have got it within a snapshot. The clients are tests/once/once.c on the client library.
"""
import argparse
import collections
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from managers import Group  # noqa: E402
from scene import Failure, Scene, binary, install_signal_handlers, tail, wait_for  # noqa: E402

APPLIED = re.compile(r"event=fsm\.applied index=(\d+) client=([0-9a-f]+) seq=(\d+) since=\d+ kind=\d+ code=(\w+) "
                     r"first=(\d+) repeated=(\d)$")
RESTORED = re.compile(r"event=fsm\.restored index=(\d+)$")
KINDS = ("kill", "pause")
ACKNOWLEDGED = ("ok", "again")

Entry = collections.namedtuple("Entry", "request code first repeated")
Told = collections.namedtuple("Told", "outcome index")


class Witness:
    """What the processes of one manager said."""

    def __init__(self, name, path):
        self.name = name
        self.applied = {}
        self.restored = 0
        last = 0
        with open(path, errors="replace") as f:
            for line in f:
                line = line.rstrip("\n")
                if "event=regentd.start " in line:
                    last = 0
                elif match := RESTORED.search(line):
                    last = int(match[1])
                    self.restored = max(self.restored, last)
                elif match := APPLIED.search(line):
                    last = self._add(int(match[1]), last, match)

    def _add(self, index, last, match):
        entry = Entry((match[2], int(match[3])), match[4], int(match[5]), match[6] == "1")
        if index <= last:
            raise Failure(f"{self.name} applied index {index} after {last}")
        if self.applied.setdefault(index, entry) != entry:
            raise Failure(f"{self.name} applied {self.applied[index]} and later {entry} at index {index}")
        return index


class Faults:
    """Kills or freezes one leader after the other."""

    def __init__(self, group, seed):
        self.group = group
        self.random = random.Random(seed)
        self.hits = collections.Counter()

    def hit(self):
        leader = self.group.wait_leader(30)
        kind = KINDS[sum(self.hits.values()) % len(KINDS)]
        if kind == "kill":
            self.group.scene.end(leader.process)
            # Now and then so long that it comes back to a snapshot of the others.
            time.sleep(self.random.uniform(0, 0.5) if sum(self.hits.values()) % 10 != 8 else 8)
            leader.start()
        else:
            os.kill(leader.process.pid, signal.SIGSTOP)
            try:  # From less than an election takes, to so long that the others go on without it.
                time.sleep(self.random.uniform(0.2, 2.0))
            finally:
                os.kill(leader.process.pid, signal.SIGCONT)
        self.hits[kind] += 1
        time.sleep(self.random.uniform(0.1, 0.8))


def read_told(path):
    told = {}
    with open(path) as f:
        for line in f:
            client, seq, outcome, index = line.split()
            if (client, int(seq)) in told:
                raise Failure(f"the client library used id {client} {seq} twice")
            told[client, int(seq)] = Told(outcome, int(index))
    return told


def merge(witnesses):
    """index -> entry, as all managers saw it."""
    merged = {}
    for w in witnesses:
        for index, entry in w.applied.items():
            if merged.setdefault(index, entry) != entry:
                raise Failure(f"at index {index} {w.name} applied {entry}, another manager {merged[index]}")
    return merged


def check_request(request, told, took_effect):
    """One request: what its client was told against the indexes at which it took effect."""
    if len(took_effect) > 1:
        raise Failure(f"request {request} was applied {len(took_effect)} times, at {took_effect}")
    if told.outcome in ACKNOWLEDGED and took_effect != [told.index]:
        raise Failure(f"request {request} was acknowledged at index {told.index}, and applied at {took_effect}")
    if told.outcome == "none" and took_effect:
        raise Failure(f"request {request} was told not to be done, and applied at {took_effect}")


def check(told, witnesses):
    """Returns the numbers of the last line."""
    merged = merge(witnesses)
    effects = collections.defaultdict(list)
    numbers = collections.Counter(t.outcome for t in told.values())
    for index, entry in sorted(merged.items()):
        if entry.repeated:
            numbers["repeated"] += 1
            if entry.first not in effects[entry.request] and entry.first in merged:
                raise Failure(f"index {index} repeats {entry.request}, which was not applied at {entry.first}")
        elif entry.code == "ok":
            effects[entry.request].append(index)
        numbers["expired"] += entry.code == "expired"
    clients = {client for client, _ in told}
    for request in effects:
        if request[0] in clients and request not in told:
            raise Failure(f"request {request} was applied, and no client tells of it: was it repeated under a new id?")
    for request, t in told.items():
        check_request(request, t, effects[request])
        numbers["unknown_applied"] += t.outcome == "unknown" and bool(effects[request])
        for w in witnesses if t.outcome in ACKNOWLEDGED else ():
            if t.index not in w.applied and t.index > w.restored:
                raise Failure(f"{w.name} never applied request {request} of index {t.index}")
            numbers["seen"] += t.index in w.applied
    return numbers


def start_clients(group, out, until, *options):
    """Starts tests/once/once.c on the group."""
    tls = ["--tls-dir", group.pki.tls_dir()] if group.pki else []
    program = os.path.join(os.path.dirname(binary("regent")), "tests", "once")
    return group.scene.spawn("once", [program, "--connect", ",".join(m.address for m in group.managers), *tls,
                                      "--until", until, "--out", out, *options])


def run(scene, commands, clients=8, leaders=20, seed=1, seconds=600):
    """Plays it on a new group. Returns the line that tells how it went."""
    began = time.monotonic()
    group = Group(scene)
    for manager in group.managers:
        manager.write_config(log="{level: debug}")
    group.start()
    out, until = scene.path("told"), scene.path("enough")
    child = start_clients(group, out, until, "--clients", str(clients), "--commands", str(commands), "--seconds",
                          str(seconds))
    faults = Faults(group, seed)
    while sum(faults.hits.values()) < leaders:
        if child.poll() is not None:
            raise Failure("the clients ended early:\n" + tail(scene.log_path("once")))
        faults.hit()
    with open(until, "w"):
        pass
    child.wait(seconds)
    if child.returncode != 0:
        raise Failure(f"the clients ended with {child.returncode}:\n" + tail(scene.log_path("once")))
    spent = time.monotonic() - began
    witnesses = wait_all_applied(group)
    group.stop()
    told = read_told(out)
    if len(told) < commands:
        raise Failure(f"only {len(told)} commands within {seconds} s")
    return summary(check(told, witnesses), faults, len(told), clients, spent)


def wait_all_applied(group):
    """Waits until all managers have told of a last command."""
    group.wait_leader(30)
    _, said, _ = group.regent("note", "the end")
    last = int(re.search(r"index (\d+)", said)[1])

    def look():
        found = [Witness(m.name, group.scene.log_path(m.name)) for m in group.managers]
        return found if all(last in w.applied or w.restored >= last for w in found) else None

    return wait_for(f"all managers apply index {last}", 60, look, 0.5)


def summary(numbers, faults, told, clients, spent):
    acknowledged = numbers["ok"] + numbers["again"]
    return (f"once: {told} commands of {clients} clients, {sum(faults.hits.values())} leaders hit "
            f"({faults.hits['kill']} killed, {faults.hits['pause']} paused): {acknowledged} acknowledged, each applied "
            f"exactly once on all managers ({numbers['seen']} of {3 * acknowledged} seen, the rest in snapshots); "
            f"{numbers['unknown']} unknown ({numbers['unknown_applied']} of them applied), {numbers['none']} not done; "
            f"{numbers['again']} repetitions answered and {numbers['repeated']} in the log, {numbers['expired']} "
            f"expired; {spent:.1f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--leaders", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    install_signal_handlers()
    print(f"seed {options.seed}", flush=True)
    with Scene("once") as scene:
        try:
            print(run(scene, options.commands, options.clients, options.leaders, options.seed))
        except Failure as e:
            print(f"once: FAILED: {e}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
