"""The simulated mysqld against the real one: each script of sim/conform on both, transcript by transcript.

The servers are started once for all scripts, in memory. A difference means that sim/FACTS.md and the model are wrong
(the real server is right), or that a new version of the server behaves in another way.
"""
import os
import re

import pytest

import conform
from scene import ROOT, Scene, binary


@pytest.fixture(scope="module")
def stand():
    with Scene("conform", conform.directory()) as scene:
        yield conform.Stand(scene)


@pytest.mark.parametrize("path", conform.scripts(), ids=lambda p: os.path.basename(p)[:-4])
def test_script(stand, path):
    facts = conform.compare(binary("tests/conform/model"), stand, path)
    assert facts, "a script without a fact"
    differ = [f.describe(path) for f in facts if not f.agrees]
    assert not differ, "\n".join(differ)


def test_facts_are_listed():
    """Every fact of FACTS.md has its script, every fact of a script is told there in the same words."""
    pinned = {name: text for path in conform.scripts() for name, text in conform.facts_of(path)}
    with open(os.path.join(ROOT, "sim", "FACTS.md"), encoding="utf-8") as f:
        listed = dict(re.findall(r"^\| ([A-Z]+-\d+) \| (.*?) \|", f.read(), re.M))
    assert listed == pinned
    assert len(pinned) >= 30


def test_a_difference_is_seen(stand, tmp_path):
    """A fact that is not so: the master's session is lost on one side only."""
    script = tmp_path / "wrong.txt"
    script.write_text("fact XX-1: the model knows the time\nm: SELECT UNIX_TIMESTAMP() > 1795219200 + 400000000\n"
                      "m: SELECT CONNECTION_ID() > 1000000\n"
                      "fact XX-2: an error is an error\nm: START SLAVE\n")
    real = conform.sections(stand.run(str(script)))
    model = conform.sections(conform.run_model(binary("tests/conform/model"), str(script)))
    assert conform.Fact("XX-2", model["XX-2"], real["XX-2"]).agrees
    changed = [line.replace("1200", "1201") for line in model["XX-2"]]
    assert not conform.Fact("XX-2", changed, real["XX-2"]).agrees
