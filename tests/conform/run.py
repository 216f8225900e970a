#!/usr/bin/python3
"""`make sim-conform`: every script of sim/conform on the model and on real servers, and where they differ.

    tests/conform/run.py [SCRIPT ...]       SCRIPT: a path, or a name of sim/conform without its ending

Last line "N facts, N agree, N differ". Exit 0 only when all agree.
"""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import conform  # noqa: E402
from scene import Scene, binary, install_signal_handlers  # noqa: E402


def main():
    install_signal_handlers()
    paths = [p if os.path.exists(p) else os.path.join(conform.SCRIPTS, p + ".txt") for p in sys.argv[1:]]
    results = []
    with Scene("conform", conform.directory()) as scene:
        stand = conform.Stand(scene)
        for path in paths or conform.scripts():
            found = conform.compare(binary("tests/conform/model"), stand, path)
            results += found
            for fact in found:
                if not fact.agrees:
                    print(fact.describe(path))
            print(f"{os.path.basename(path)}: {len(found)} facts", flush=True)
    differ = sum(not f.agrees for f in results)
    print(f"{len(results)} facts, {len(results) - differ} agree, {differ} differ")
    return 1 if differ or not results else 0


if __name__ == "__main__":
    sys.exit(main())
