"""What the benches of the group share: the commit tool, elections as the managers' logs tell them, figures."""
import datetime
import os
import re
import sys

from scene import Failure, binary, tail

LEADS = re.compile(r"^time=(\S+) .*event=raft\.leader term=(\d+)", re.M)


def note(text):
    print(text, file=sys.stderr, flush=True)


def percentile(values, percent):
    """Nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]


def number(name, default):
    return int(os.environ.get(name) or default)


def has_tls(group):
    return bool(getattr(group, "pki", None))


def environment(group):
    """What a client needs to talk to the group."""
    return group.environment() if hasattr(group, "environment") else {}


def start_commits(scene, group, manager, n, period_ms, name="commit"):
    """Starts the commit tool at 'manager'; returns the process and the file with its figures."""
    path = scene.path("log", name + ".us")
    with open(path, "wb") as out:
        child = scene.spawn(name, [binary("tests/bench/commit"), manager.address, str(n), str(period_ms)], stdout=out,
                            env=environment(group))
    return child, path


def read_commits(path):
    """Milliseconds of all commands; the last line may be half written."""
    with open(path) as f:
        return [int(line) / 1000 for line in f.read().split("\n")[:-1]]


def commits(scene, group, manager, n, period_ms):
    child, path = start_commits(scene, group, manager, n, period_ms)
    if child.wait(60 + n * (period_ms + 100) / 1000) != 0:
        raise Failure("the commit tool failed:\n" + tail(scene.log_path(child.name)))
    return read_commits(path)


def elections(manager):
    """What the manager's log tells: [(Unix time, term)] of each moment from which it led and had applied the first
    entry of its term."""
    with open(manager.scene.log_path(manager.name), errors="replace") as f:
        return [(datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp(), int(term))
                for at, term in LEADS.findall(f.read())]


def load():
    return f"load={os.getloadavg()[0]:.1f}"


def over(name, value, bound):
    """Says when a figure is over its bound."""
    if value > bound:
        note(f"  {name} is {value:.2f}, over its bound of {bound}")
    return value > bound
