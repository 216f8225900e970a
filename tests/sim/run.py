#!/usr/bin/python3
"""The simulator's part of `make test` (suite "sim" of tests/run).

    tests/sim/run.py --build DIR [--asan DIR] [--mutants DIR] [--others DIR,...] [--seeds N] [NAME ...]

objects: regent-sim links the very objects of libregent.a (all that it needs), and no file of sim/ defines a symbol of
theirs.
kept: every seed of sim/seeds/. repeat: a seed gives the same bytes twice, and with the other build. compilers: the
whole trace of seeds with several clusters is the same, byte for byte, from every build of --others (make
sim-compilers).
fresh: N seeds derived from the commit, the shares that the simulator promises, and its speed. mutants: each is found
by its kept seed. minimise: what is left of a failing seed fails alike. exits: a test for each exit code.
marks: each is reached by one of 2,000 seeds, or excused in sim/marks.txt (that its excuses are not stale, and how often
each is reached: make sim-marks, a part of test-full).
Prints "ok NAME" or "FAILED NAME" and what was said. Exit 0 only when nothing failed.
"""
import argparse
import glob
import hashlib
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 600
LONG_SECONDS = 2400
AGAIN = 2000  # Seeds that are tried for a mutant whose kept seed finds it no longer.
# Objects that must be the production ones, as source files.
PRODUCTION = ["fsm/*.c", "plan/*.c", "mysql/verb*.c", "mysql/probe.c", "mysql/gtid*.c", "mysql/flavour.c",
              "mysql/result.c", "manager/driver.c", "manager/execute.c", "manager/observe*.c", "manager/consensus.c",
              "manager/sessions.c", "manager/hand_over.c", "manager/transit.c", "manager/report_state.c",
              "raft/node*.c", "raft/guard.c", "raft/preflight.c", "proto/command.c", "proto/snapshot*.c",
              "proto/observation.c"]
SEVERAL_CLUSTERS = (3, 4, 9, 12, 16, 18)
CLOSING = ("shares:", "rates:", "speed:", "digest:", "sim:")
PROMISES = {"failover": 60, "change": 30, "seconds": 120, "faults": 5, "writes": 10, "probes": 20}


def run(argv, seconds=SECONDS):
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=seconds, check=False)
    return done.returncode, done.stdout


def sha(data):
    return hashlib.sha256(data).hexdigest()


def defined(path):
    """Global symbols that an object defines."""
    out = subprocess.run(["nm", "--defined-only", "-g", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.split()[-1] for line in out.splitlines() if len(line.split()) == 3}


def test_objects(o):
    problems = []
    archive = os.path.join(o.build, "libregent.a")
    with open(os.path.join(o.build, "regent-sim.map"), encoding="utf-8", errors="replace") as f:
        linked = set(re.findall(r"libregent\.a\(([\w.-]+\.o)\)", f.read()))
    binary = defined(os.path.join(o.build, "regent-sim"))
    ours = {}
    for path in glob.glob(os.path.join(o.build, "obj", "sim", "*.o")):
        for symbol in defined(path):
            ours[symbol] = path
    for source in sorted(s for p in PRODUCTION for s in glob.glob(os.path.join(ROOT, p))):
        name = os.path.relpath(source, ROOT)[:-2] + ".o"
        path = os.path.join(o.build, "obj", name)
        member = os.path.basename(name)
        with open(path, "rb") as f:
            built = sha(f.read())
        packed = sha(subprocess.run(["ar", "p", archive, member], stdout=subprocess.PIPE, check=True).stdout)
        if built != packed and not any(os.path.basename(p) == member for p in twins(path)):
            problems.append(f"{name}: the archive holds another object")
        if member not in linked and defined(path) & binary:
            problems.append(f"{name}: regent-sim has its symbols from elsewhere")
        problems += [f"{name}: {ours[s]} defines {s}, too" for s in defined(path) & set(ours)]
    return "\n".join(problems)


def twins(path):
    """Other objects of that base name: the archive holds both under one name."""
    same = glob.glob(os.path.join(os.path.dirname(os.path.dirname(path)), "*", os.path.basename(path)))
    return [p for p in same if p != path]


def kept_seeds(folder):
    for path in sorted(glob.glob(os.path.join(ROOT, "sim", folder, "*"))):
        with open(path, encoding="utf-8") as f:
            yield os.path.basename(path), f.readline().split()


def test_kept(o):
    problems = []
    for name, args in kept_seeds("seeds"):
        code, output = run([os.path.join(o.build, "regent-sim"), "--quiet", *args])
        if code != 0:
            problems.append(f"{name} ({' '.join(args)}): exit {code}\n{output}")
    return "\n".join(problems)


def digest(output):
    return re.search(r"^digest: .*$", output, re.M).group(0)


def trace_of(folder, seed):
    """The standard output: the speed goes to the other one."""
    done = subprocess.run([os.path.join(folder, "regent-sim"), "--seed", str(seed), "--trace"], cwd=ROOT,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS,
                          check=False)
    return done.stdout.decode(errors="replace")


def difference(name, first, other_name, other):
    """The first line in which two outputs differ; "" when they are equal."""
    if first == other:
        return ""
    lines, others = first.splitlines(), other.splitlines()
    n = next((i for i, (a, b) in enumerate(zip(lines, others)) if a != b), min(len(lines), len(others)))
    said = ["\n".join(side[max(0, n - 3):n + 1]) for side in (lines, others)]
    return f"they differ in line {n + 1}\n--- {name}\n{said[0]}\n--- {other_name}\n{said[1]}"


def test_repeat(o):
    problems = []
    for seed in (2, 5, 9):
        first = trace_of(o.build, seed)
        told = difference("first", first, "second", trace_of(o.build, seed))
        if told:
            problems.append(f"seed {seed}, run twice: {told}")
        _, other = run([os.path.join(o.asan, "regent-sim"), "--seed", str(seed)])
        if digest(other) != digest(first):
            problems.append(f"seed {seed}: {o.build} and {o.asan} differ")
    return "\n".join(problems)


def test_compilers(o):
    problems, large = [], 0
    for seed in SEVERAL_CLUSTERS:
        first = trace_of(o.build, seed)
        large += " cluster b: epoch " in first
        for other in o.others:
            told = difference(o.build, first, other, trace_of(other, seed))
            if told:
                problems.append(f"seed {seed}: {told}")
    if large < 5:
        problems.append(f"only {large} of the seeds {SEVERAL_CLUSTERS} have several clusters: choose others")
    return "\n".join(problems)


def first_seed():
    _, commit = run(["git", "rev-parse", "HEAD"])
    return int(commit.strip()[:12], 16) % 10**12


def shares(output):
    text = re.search(r"shares: (\d+) % .* (\d+) % .*\nrates: \d+ events, (\d+) writes, (\d+) probes .* least (\d+) s, "
                     r"(\d+) faults", output)
    return dict(zip(("failover", "change", "writes", "probes", "seconds", "faults"), map(int, text.groups())))


def test_fresh(o):
    code, output = run([os.path.join(o.build, "regent-sim"), "--from", str(first_seed()), "--seeds", str(o.seeds)])
    print("\n".join(line for line in output.splitlines() if line.startswith(CLOSING)), flush=True)
    if code != 0:
        return f"exit {code}\n" + output
    found = shares(output)
    return "\n".join(f"{k}: {found[k]}, promised {v}" for k, v in PROMISES.items() if found[k] < v)


def test_mutants(o):
    problems = []
    binary = os.path.join(o.mutants, "regent-sim")
    _, names = run([binary, "--mutants"])
    kept = dict(kept_seeds("mutants"))
    for name in (line.split("\t")[0] for line in names.splitlines()):
        output = ""
        if name in kept:
            code, output = run([binary, "--quiet", *kept[name]])
            if code != 0:
                problems.append(f"{name}: its seed fails without it\n{output}")
            code, output = run([binary, "--quiet", "--mutant", name, *kept[name]])
            if code in (1, 3):
                continue
        # Any change of the product or of the faults may give a seed another world: then it is to be found anew.
        code, again = run([binary, "--quiet", "--first", "--seeds", str(AGAIN), "--mutant", name], LONG_SECONDS)
        if code in (1, 3):
            print(f"note: mutant {name} has no kept seed that finds it: make sim-mutants KEEP=1", flush=True)
        else:
            problems.append(f"{name}: not found by its seed, nor by {AGAIN} others (exit {code})\n{output}{again}")
    return "\n".join(problems)


def faults_left(text):
    return 0 if text == "none" else len(text.split(","))


def test_minimise(o):
    """Of the first kept mutant: what --minimise leaves has fewer faults, and fails by the same rule."""
    name, args = next(iter(kept_seeds("mutants")))
    command = [os.path.join(o.mutants, "regent-sim"), "--mutant", name, *args]
    code, output = run([*command, "--minimise"])
    failed = re.search(r"^FAILED seed (\d+): (\w+)", output, re.M)
    found = re.search(r"^minimised: seed (\d+) with the faults (.*)$", output, re.M)
    if not failed or not found or failed.group(1) != found.group(1):
        return f"{name}: exit {code}, and nothing was minimised\n{output[:2000]}"
    if f"--- trace of seed {failed.group(1)}" not in output or "VIOLATION " + failed.group(2) not in output:
        return f"{name}: the minimised seed did not run again with its trace"
    left = found.group(2)
    before = len(set(re.findall(r"FAULT (\d+): ", run([*command, "--trace"])[1])))
    if faults_left(left) >= before:
        return f"{name}: {before} faults before, {left} after"
    only = [*command, "--only", "" if left == "none" else left, "--quiet"]
    again, output = run(only)
    rule = re.search(r"^FAILED seed \d+: (\w+)", output, re.M)
    if again != code or not rule or rule.group(1) != failed.group(2):
        return f"{name}: {' '.join(only)}: exit {again} instead of {code}\n{output}"
    print(f"minimise: {name}: {before} faults, {faults_left(left)} left, {failed.group(2)}", flush=True)
    return minimised_is_minimal(command, left, code)


def minimised_is_minimal(command, left, code):
    """Without any one of what is left it does not fail so."""
    faults = [] if left == "none" else left.split(",")
    for fault in faults:
        fewer = ",".join(f for f in faults if f != fault)
        if run([*command, "--only", fewer, "--quiet"])[0] == code:
            return f"fault {fault} of {left} is not needed"
    return ""


def test_exits(o):
    binary = os.path.join(o.build, "regent-sim")
    cases = [(0, ["--seed", "2", "--quiet"], "0 violations")]
    cases += [(2, args, what) for args, what in (
        (["--nonsense", "1"], "unknown option --nonsense"), (["--seed"], "its value is missing: --seed"),
        (["--seed", "x"], "not a number for --seed"), (["--only", "1,x"], "not a list of faults: 1,x"),
        (["--mutant", "no-such"], "no such mutant here: no-such"))]
    cases += [(code, ["--seed", "2", "--pretend", str(code)], "FAILED seed 2: ") for code in (1, 3, 4)]
    cases += [(4, ["--from", "2", "--seeds", "3", "--pretend", "4", "--quiet"], "3 violations")]
    problems = []
    for wanted, args, what in cases:
        code, output = run([binary, *args])
        if code != wanted or what not in output:
            problems.append(f"{' '.join(args)}: exit {code} instead of {wanted}, or not \"{what}\"\n{output[-2000:]}")
        is_again = "--- trace of seed 2" in output and "raft term" in output
        if wanted in (1, 3, 4) and "--quiet" not in args and not is_again:
            problems.append(f"{' '.join(args)}: it did not run again with its trace\n{output[-2000:]}")
    return "\n".join(problems)


def test_marks(o):
    judge = os.path.join(ROOT, "tests", "sim", "marks.py")
    code, output = run([judge, "--binary", os.path.join(o.mutants, "regent-sim"), "--seeds", "2000"], LONG_SECONDS)
    print("\n".join(output.splitlines()[-1:]), flush=True)
    return output if code != 0 else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--asan", default=os.path.join(ROOT, "build", "asan"))
    parser.add_argument("--mutants", default=os.path.join(ROOT, "build", "mutants"))
    parser.add_argument("--others", type=lambda text: text.split(","))
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("names", nargs="*")
    o = parser.parse_args()
    failed = 0
    for name, test in (("objects", test_objects), ("kept", test_kept), ("repeat", test_repeat),
                       ("compilers", test_compilers), ("exits", test_exits), ("minimise", test_minimise),
                       ("mutants", test_mutants), ("marks", test_marks), ("fresh", test_fresh)):
        if o.names and name not in o.names:
            continue
        if name == "compilers" and not o.others:
            continue
        problem = test(o)
        print(f"ok {name}" if not problem else f"FAILED {name}\n{problem}", flush=True)
        failed += bool(problem)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
