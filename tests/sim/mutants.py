#!/usr/bin/python3
"""Looks for every mutant anew and prints the table (`make sim-mutants`).

    tests/sim/mutants.py [--binary FILE] [--from N] [--seeds N] [--jobs N] [--keep] [NAME ...]

A mutant counts as found when one of the first N seeds breaks the property that lib/base/mutant.h names for it, and the
same seed is clean without it. --keep writes that seed to sim/mutants/NAME, from which tests/sim/run.py takes it.
Exit 1 when a mutant was not found.
"""
import argparse
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, "build", "mutants", "regent-sim")
FOLDER = os.path.join(ROOT, "sim", "mutants")
TRIES = 5  # Seeds that break a property, before a mutant counts as not found.


def mutants(binary):
    """Name, properties that may catch it, what is broken."""
    out = subprocess.run([binary, "--mutants"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def property_of(broken):
    """"S2" out of "S2: b lacks ..."; a crash of the program is no property."""
    return broken.split(":")[0]


def find(o, name, start):
    """The first seed from 'start' on that fails, and its words; None when none does."""
    left = o.first + o.seeds - start
    if left <= 0:
        return None
    done = subprocess.run([o.binary, "--quiet", "--first", "--mutant", name, "--from", str(start), "--seeds",
                           str(left), "--jobs", str(o.jobs)], stdout=subprocess.PIPE, text=True, check=False)
    found = re.findall(r"^FAILED seed (\d+): (.*)$", done.stdout, re.M)
    return (int(found[0][0]), found[0][1]) if found else None


def is_clean(o, seed):
    done = subprocess.run([o.binary, "--seed", str(seed), "--quiet"], stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def look(o, name, properties):
    """Seed and words of the first fit find; None; and what was passed over."""
    start, passed = o.first, []
    for _ in range(TRIES):
        found = find(o, name, start)
        if not found:
            break
        if property_of(found[1]) in properties.split() and is_clean(o, found[0]):
            return found, passed
        passed.append(found)
        start = found[0] + 1
    return None, passed


def keep(name, seed, words, properties):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as f:
        f.write(f"--seed {seed}\n{properties}; found as {words}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--from", dest="first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*")
    o = parser.parse_args()
    missing = []
    print("| mutant | what is broken | property | seeds | seconds | found as |\n|---|---|---|---|---|---|")
    for name, properties, text in mutants(o.binary):
        if o.names and name not in o.names:
            continue
        began = time.monotonic()
        found, passed = look(o, name, properties)
        seconds = time.monotonic() - began
        if found and o.keep:
            keep(name, found[0], found[1], properties)
        if not found:
            missing.append(name)
        seeds = str(found[0] - o.first + 1) if found else f"> {o.seeds}"
        words = found[1] if found else "; ".join(f"(seed {s}: {w})" for s, w in passed) or "NOT FOUND"
        print(f"| {name} | {text} | {properties} | {seeds} | {seconds:.0f} | {words} |", flush=True)
    if missing:
        print("not found: " + ", ".join(missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
