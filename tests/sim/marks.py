#!/usr/bin/python3
"""Looks whether the simulator reaches every mark (lib/base/mark.h) within 2,000 seeds.

    tests/sim/marks.py [--binary FILE] [--seeds N] [--all]      a build with MUTANTS=1

Runs seeds 1 to N, a few hundred at a time, and ends as soon as all is reached; with --all it runs them all and prints
the table, for only then a frequency is one. sim/marks.txt excuses marks, one a line: "NAME: why no seed reaches it".
Wrong: a mark that N seeds do not reach and nobody excuses; an excuse without a reason, or of a mark that does not
exist; with --all an excused mark that 1 % of the seeds reach. Exit 1 when something is wrong or a seed fails.
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, "build", "mutants", "regent-sim")
CHUNK = 200
STALE_SHARE = 0.01


def read_excuses(text):
    """Name to reason, and what is wrong with the lines themselves."""
    excuses, wrong = {}, []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.partition(":")
        if len(reason.split()) < 3:
            wrong.append(f"{name}: the excuse has no reason")
        if name in excuses:
            wrong.append(f"{name}: excused twice")
        excuses[name] = reason.strip()
    return excuses, wrong


def missing(reached, excuses):
    return sorted(name for name, n in reached.items() if n == 0 and name not in excuses)


def unknown(reached, excuses):
    return [f"{name}: excused, and there is no such mark" for name in sorted(set(excuses) - set(reached))]


def judge(reached, excuses, seeds, is_all):
    """'reached': name to the number of seeds. Returns what is wrong, a line each."""
    wrong = unknown(reached, excuses)
    wrong += [f"{name}: not reached in {seeds} seeds, and not excused in sim/marks.txt"
              for name in missing(reached, excuses)]
    stale = [name for name in sorted(set(excuses) & set(reached)) if reached[name] >= STALE_SHARE * seeds]
    if is_all:
        wrong += [f"{name}: excused, and reached in {reached[name]} of {seeds} seeds: take it out of sim/marks.txt"
                  for name in stale]
    return wrong


def read_marks(output):
    return {m[0]: int(m[1]) for m in re.findall(r"^mark (\w+) (\d+)$", output, re.M)}


def run_chunk(binary, first, seeds):
    done = subprocess.run([binary, "--quiet", "--marks", "--from", str(first), "--seeds", str(seeds)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def run_seeds(o, excuses):
    """Number of seeds, mark to the seeds that reached it, what failed."""
    reached, seeds, failed = {}, 0, []
    while seeds < o.seeds and (o.all or seeds == 0 or missing(reached, excuses)):
        n = min(CHUNK, o.seeds - seeds)
        code, output = run_chunk(o.binary, seeds + 1, n)
        seeds += n
        for name, count in read_marks(output).items():
            reached[name] = reached.get(name, 0) + count
        failed += re.findall(r"^FAILED .*$", output, re.M)
        if not reached or code == 2:
            sys.exit(f"marks: {o.binary} has no marks: make sim-builds\n{output}")
    return seeds, reached, failed


def selftest():
    reached = {"a": 20, "b": 0, "c": 19}
    assert judge(reached, {"b": "r"}, 2000, True) == []
    assert len(judge(reached, {}, 2000, False)) == 1
    assert len(judge(reached, {"b": "r", "a": "r"}, 2000, True)) == 1
    assert judge(reached, {"b": "r", "a": "r"}, 2000, False) == []
    assert judge(reached, {"b": "r", "c": "r"}, 2000, True) == []
    assert len(judge(reached, {"b": "r", "d": "r"}, 10, False)) == 1
    assert read_excuses("# x\n\na: it cannot be\n") == ({"a": "it cannot be"}, [])
    assert len(read_excuses("a:\n")[1]) == 1
    assert len(read_excuses("a: it cannot be\na: it cannot be\n")[1]) == 1
    assert read_marks("mark a 3\nmarks: 1 of 1 reached\n") == {"a": 3}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--all", action="store_true")
    o = parser.parse_args()
    selftest()
    with open(os.path.join(ROOT, "sim", "marks.txt"), encoding="utf-8") as f:
        excuses, wrong = read_excuses(f.read())
    seeds, reached, failed = run_seeds(o, excuses)
    wrong += judge(reached, excuses, seeds, o.all)
    if o.all:
        print("| mark | seeds | |\n|---|---|---|")
        for name, n in sorted(reached.items(), key=lambda item: (item[1], item[0])):
            print(f"| {name} | {n} | {excuses.get(name, '')} |")
    for line in failed + wrong:
        print(f"marks: {line}")
    print(f"marks: {sum(n > 0 for n in reached.values())} of {len(reached)} reached, {len(excuses)} excused, "
          f"in {seeds} seeds; {len(wrong)} wrong")
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
