"""The majority of the managers is lost for ever: one survivor makes a new group; then the dead come back after all."""
import json
import os
import re
import subprocess
import time

import pytest

from managers import _SANITIZERS
from membership import members
from scene import binary, wait_for


def recover(manager, answer):
    done = subprocess.run([binary("regent"), "recover", "--data-dir", manager.data_dir, "--survivor"], input=answer,
                          capture_output=True, text=True, timeout=60, env={**os.environ, **_SANITIZERS})
    return done.returncode, done.stdout, done.stderr


def group_id(manager):
    """Of the node file: the shape that operators see, too."""
    with open(os.path.join(manager.data_dir, "node"), encoding="utf-8") as node:
        return re.search(r"^group_id (\w{16})$", node.read(), re.M).group(1)


def index_of(group, manager):
    return json.loads(group.regent("--json", "status", manager=manager)[1])["index"]


def test_survivor_makes_a_new_group(stage):
    group, cluster = stage.group, stage.cluster
    survivor = next(m for m in group.managers if m is not group.leader())
    dead = [m for m in group.managers if m is not survivor]
    stage.write(50)

    # It runs: nothing changes. It is cut off, and the others go on without it, before they are lost: what they commit,
    # and the tokens that they could give, are beyond what it knows.
    old_id = group_id(survivor)
    code, _, err = recover(survivor, old_id + "\n")
    assert code == 1 and "in use" in err
    survivor.stop()
    group.wait_leader()
    for _ in range(60):
        group.regent("note", "shop", "the majority works on", manager=dead[0])
    for manager in dead:
        manager.kill()
        manager.process.wait()
    code, out, err = recover(survivor, "yes\n")
    assert code == 1 and "nothing was changed" in err and old_id in out
    assert group_id(survivor) == old_id
    code, out, err = recover(survivor, old_id + "\n")
    assert code == 0, out + err
    assert group_id(survivor) != old_id
    assert os.path.exists(os.path.join(survivor.data_dir, "before-recovery-1", "node"))

    # The new group of one: all clusters paused, no plan begins by itself, the one that an operator asks for raises the
    # epoch over all that the lost managers can have given.
    survivor.start()
    wait_for("the survivor leads", 20, lambda: group.leader() is survivor, 0.05)
    assert list(members(group)) == [survivor.name]
    status = group.status_now()
    assert status["paused"] and status["epoch"] == 1
    kinds = [e["kind"] for e in group.events()]
    assert "group.recovered" in kinds and "cluster.paused" in kinds
    wait_for("the survivor sees the servers", 20,
             lambda: all(s["health"] == "ok" for s in group.status_now()["servers"]), 0.1)
    stage.fault_us = time.monotonic_ns() // 1000
    group.regent("failover", "shop", "--yes", manager=survivor, seconds=60)
    cluster.wait_followers(cluster.backup, [s for s in cluster.servers if s not in (cluster.master, cluster.backup)])
    assert group.status_now()["epoch"] > 1000
    stage.write(50)

    # The dead come back. Two of three, they are a majority of the old group, with the old master in their state.
    before = {m: m.log_size() for m in group.managers}
    for manager in dead:
        manager.start()
    wait_for("the old group elects a leader", 20, lambda: any(m.lines("raft.leader", before[m]) for m in dead), 0.1)
    wait_for("the new group refuses the old one", 20,
             lambda: any(m.lines("belongs to another group", before[m]) for m in group.managers), 0.1)
    # It takes the new master for a stranger that is open, and begins to close it. Its tokens are older all the same,
    # though its log is longer: the servers that the new group has taken refuse it.
    assert index_of(group, dead[0]) > index_of(group, survivor)
    wait_for("the old group finds out", 30, lambda: "holds a greater token" in
             group.regent("status", "shop", manager=dead[0], check=False)[1]
             + group.regent("plan", "list", manager=dead[0], check=False)[1], 0.2)
    stage.write(100)
    group.regent("cluster", "resume", "shop", manager=survivor)
    assert not json.loads(group.regent("--json", "status", "shop", manager=survivor)[1])["clusters"][0]["paused"]
    stage.writer.stop()
    cluster.wait_caught_up(cluster.backup, [s for s in cluster.servers if s not in (cluster.master, cluster.backup)])
    assert [s.name for s in cluster.writable()] == [cluster.backup.name]
    for manager in dead:
        manager.kill()
        manager.process.wait()
    assert stage.finish()[2] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_only_its_owner_recovers_a_directory(scene):
    """Root would write files that regentd cannot read."""
    path = scene.path("others")
    os.mkdir(path, 0o700)
    os.chown(path, 65534, 65534)
    done = subprocess.run([binary("regent"), "recover", "--data-dir", path, "--survivor"], input="", text=True,
                          capture_output=True, timeout=60, env={**os.environ, **_SANITIZERS})
    assert done.returncode == 1 and "belongs to the user nobody (65534)" in done.stderr
    assert os.listdir(path) == []


def test_export_and_import(stage):
    group = stage.group
    _, out, _ = group.regent("state", "export")
    exported = json.loads(out)
    assert exported["regent_state"] == 1 and [c["cluster"] for c in exported["clusters"]] == ["shop"]
    assert len(exported["group"]["members"]) == 3
    path = group.scene.path("state.json")

    # What exists is left alone; what is no export changes nothing; what is new is declared.
    group.scene.write("state.json", out)
    code, _, err = group.regent("state", "import", path, check=False)
    assert code != 0 and "exists" in err
    group.scene.write("state.json", "{}")
    code, _, err = group.regent("state", "import", path, check=False)
    assert code == 1 and "no `regent state export`" in err
    exported["clusters"][0]["cluster"] = "shop2"
    for i, server in enumerate(exported["clusters"][0]["servers"]):
        server["address"] = f"127.0.0.1:{1 + i}"
    group.scene.write("state.json", json.dumps(exported))
    group.regent("state", "import", path)
    status = json.loads(group.regent("--json", "status")[1])
    assert sorted(c["name"] for c in status["clusters"]) == ["shop", "shop2"]
