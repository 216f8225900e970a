"""The group of managers changes while it works: it grows, shrinks, loses members for ever, and lets nobody else in."""
import json
import os
import subprocess
import threading
import time

import membership
import pytest
from faults import Stage
from managers import Group
from namespaces import CELL_ADDRESS, WORLD_ADDRESS
from scene import Failure, wait_for


@pytest.fixture
def group3(scene):
    group = Group(scene)
    group.start()
    yield group
    group.stop()


def test_one_to_three_to_five_to_three_under_load(scene):
    group = Group(scene, managers_n=1)
    group.start()
    load = membership.Load(group)
    for name in ("m2", "m3", "m4", "m5"):
        membership.add_member(group, name)
    assert len([m for m in membership.members(group).values() if m["role"] == "voter"]) == 5
    # The leader is among those that go: it hands over first.
    first = group.wait_leader()
    for manager in (first, next(m for m in group.managers if m is not first)):
        code, _, err = group.regent("member", "remove", manager.name, check=False, seconds=70)
        assert code == 0, err
        # It was told, and ends by itself.
        wait_for(f"{manager.name} ends", 20, lambda m=manager: not m.is_running(), 0.05)
        assert manager.lines("is removed from the group")
        membership.forget(group, manager)
    assert len(membership.members(group)) == 3
    assert first.name not in membership.members(group)
    load.stop()
    assert load.failed == []
    load.check(group)
    group.stop()


def test_the_leader_is_removed_by_its_own_address(group3):
    """It ends while the removal is followed: the client has learned where the others are."""
    leader = group3.wait_leader()
    code, out, err = group3.regent("member", "remove", leader.name, manager=leader, check=False, seconds=70)
    assert code == 0 and "is removed" in out, err
    wait_for("it ends", 20, lambda: not leader.is_running(), 0.05)


def test_a_dead_member_is_replaced(group3):
    group = group3
    leader = group.wait_leader()
    dead, live = [m for m in group.managers if m is not leader]
    load = membership.Load(group)
    # A live one is not replaced; a live one is not removed while another is dead.
    assert group.regent("member", "replace", live.name, "m4", "127.0.0.1:1", check=False)[0] == 5
    dead.kill()
    dead.process.wait()
    wait_for("the leader notices", 10, lambda: (membership.members(group)[dead.name]["contact_ms"] or 9999) > 1000, 0.1)
    code, _, err = group.regent("member", "remove", live.name, check=False)
    assert code == 5, err
    assert "of the 2 voters that would remain 1 answers, and 2 must" in err and dead.name in err
    assert group.regent("member", "demote", live.name, check=False)[0] == 5
    new = membership.new_manager(group, "m4")
    _, out, err = group.regent("member", "replace", dead.name, new.name, new.address, seconds=70)
    token = out.splitlines()[-1]
    assert token.startswith("regent-token-1 ") and "regentd --config FILE --join" in err
    membership.certify(group, "m4", int(token.split()[2]))
    membership.join(new, membership.write_token(group, "m4", token))
    membership.wait_role(group, "m4", "voter")
    load.stop()
    # The dead one returns with its old data: it is told, ends, and disturbs nobody.
    term = json.loads(group.regent("--json", "member", "list")[1])["term"]
    dead.start()
    wait_for("the removed manager ends", 20, lambda: not dead.is_running(), 0.05)
    assert dead.lines("is removed from the group") and dead.lines("join with a new token")
    assert json.loads(group.regent("--json", "member", "list")[1])["term"] == term
    group.managers.remove(dead)
    load.check(group)


def test_who_does_not_get_in(group3, scene):
    group = group3
    m4 = membership.new_manager(group, "m4")
    path, answer = membership.create_token(group, "m4", "--ttl", "1s")
    assert answer["id"] == 4
    time.sleep(1.5)
    code, output = membership.join_fails(m4, path)
    assert code == 1 and "has expired" in output, output
    # Made by mistake: it is listed, and void when it was revoked.
    path, answer = membership.create_token(group, "m4")
    assert answer["id"] == 5
    assert "m4" in group.regent("token", "list")[1]
    tokens = json.loads(group.regent("--json", "token", "list")[1])["tokens"]
    assert [(t["id"], t["name"], t["address"]) for t in tokens] == [(5, "m4", "")], tokens
    assert answer["token"].split()[3] not in json.dumps(tokens)
    assert group.regent("token", "revoke", "m4")[1] == "the token of m4 is revoked\n"
    assert group.regent("token", "list")[1] == "No unused tokens.\n"
    code, output = membership.join_fails(m4, path)
    assert code == 1 and "is not valid: it was replaced or revoked" in output, output
    code, _, said = group.regent("token", "revoke", "m4", check=False)
    assert code != 0 and "there is no token of m4" in said
    code, _, said = group.regent("token", "revoke", "m1", check=False)
    assert code != 0 and "m1 is a member" in said
    # Another group, and its token here.
    path, answer = membership.create_token(group, "m4")
    assert answer["id"] == 6
    token = answer["token"].split()
    other = membership.write_token(group, "other", " ".join([token[0], "00000000000000ff", token[2], token[3]]))
    code, output = membership.join_fails(m4, other)
    assert code == 1 and "the token is of group 00000000000000ff" in output, output
    wrong = membership.write_token(group, "wrong", " ".join(token[:3] + ["0" * 64]))
    code, output = membership.join_fails(m4, wrong)
    assert code == 1 and "is not valid" in output, output
    # The right one, as a standby: it has the log and no vote; twice with one token only by its own directory.
    membership.join(m4, path, "--standby")
    membership.wait_role(group, "m4", "standby")
    thief = membership.new_manager(group, "m5")
    group.managers.remove(thief)
    with open(thief.config) as f:
        text = f.read()
    scene.write("m5.yaml", text.replace("node: m5", "node: m4").replace("m5.crt", "m4.crt").replace("m5.key", "m4.key"))
    code, output = membership.join_fails(thief, path)
    assert code == 1 and "was used by another data directory" in output, output
    m4.stop()
    membership.join(m4, path)
    membership.wait_role(group, "m4", "standby")
    assert membership.members(group)["m4"]["id"] == 6
    group.regent("member", "promote", "m4", seconds=70)
    group.regent("member", "demote", "m4", seconds=70)
    assert membership.members(group)["m4"]["role"] == "standby"
    assert group.regent("member", "transfer", "m4", check=False)[0] == 5
    group.regent("member", "remove", "m4", seconds=70)
    # Its id is never given again.
    assert membership.create_token(group, "m4")[1]["id"] == 7
    membership.forget(group, m4)


def test_a_certificate_of_another_id_does_not_join(group3):
    """The token reserves an id; whoever holds it and another certificate would be a member that nobody lets in."""
    m4 = membership.new_manager(group3, "m4")
    path, answer = membership.create_token(group3, "m4")
    membership.certify(group3, "m4", answer["id"] + 5)
    code, output = membership.join_fails(m4, path)
    assert code == 1 and f"id {answer['id'] + 5}" in output, output
    assert "m4" not in membership.members(group3)
    membership.certify(group3, "m4", answer["id"])
    membership.join(m4, path)
    membership.wait_role(group3, "m4", "voter")


def test_join_after_a_crash(group3):
    """Killed at any point of the join, the same command succeeds later."""
    group = group3
    m4 = membership.new_manager(group, "m4")
    path, _ = membership.create_token(group, "m4")
    for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        membership.join(m4, path)
        time.sleep(delay)
        m4.kill()
        m4.process.wait()
    membership.join(m4, path)
    membership.wait_role(group, "m4", "voter")


def test_a_member_moves(group3):
    group = group3
    leader = group.wait_leader()
    moved = next(m for m in group.managers if m is not leader)
    moved.stop()
    old, moved.port = moved.address, moved.scene.ports.take()
    moved.address = f"127.0.0.1:{moved.port}"
    with open(moved.config) as f:
        text = f.read()
    moved.scene.write(moved.name + ".yaml", text.replace(old, moved.address))
    group.regent("member", "set-address", moved.name, moved.address, manager=leader)
    moved.start()
    wait_for("the moved manager is heard", 15,
             lambda: (membership.members(group)[moved.name]["contact_ms"] or 99999) < 1000, 0.1)
    membership.lead(group, moved)
    assert group.wait_leader() is moved


def witnesses(group):
    """The managers whose sight of the master `regent explain` counts."""
    _, out, _ = group.regent("--json", "explain", "shop")
    lines = json.loads(out)["evidence"]
    return {m.name for m in group.managers if any(line.split()[:1] == [m.name] for line in lines)}


def test_verdicts_and_plans_while_the_group_changes(stage):
    """A standby's sight does not count, a new voter's does. Then leaders hand over again and again while one of them
    replaces a master: the plan is carried on from its step, and no write is lost."""
    group = stage.group
    membership.add_member(group, "m4", "standby")
    wait_for("the standby reports", 5, lambda: group.cluster_status() is not None)
    assert witnesses(group) == {"m1", "m2", "m3"}
    group.regent("member", "promote", "m4", seconds=70)
    wait_for("the new voter's sight counts", 10, lambda: witnesses(group) == {"m1", "m2", "m3", "m4"}, 0.1)
    epoch = group.status_now()["epoch"]
    stage.write(100)
    leaders, stop = [], threading.Event()

    def transfer():
        while not stop.is_set():
            asked = time.monotonic()
            code, out, _ = group.regent("--json", "member", "transfer", check=False)
            if code == 0:
                leaders.append((asked, time.monotonic(), json.loads(out)["leader"]))

    thread = threading.Thread(target=transfer)
    thread.start()
    try:
        wait_for("the first hand-over", 10, lambda: leaders)
        stage.fault("kill")
        began = time.monotonic()
        wait_for("the master is replaced", 20,
                 lambda: (group.cluster_status() or {"epoch": epoch})["epoch"] > epoch, 0.02)
        ended = time.monotonic()
        wait_for("hand-overs go on", 10, lambda: leaders[-1][1] > ended)
    finally:
        stop.set()
        thread.join()
    stage.write(100)
    stage.wait_replaced()
    _, _, lost = stage.finish()
    assert lost == []
    during = [name for asked, done, name in leaders if done >= began and asked <= ended]
    assert during, f"no hand-over fell into the {ended - began:.2f} s of the plan: {leaders}"
    stage.cluster.check(stage.cluster.backup, stage.replicas())


def test_a_leader_cut_off_from_the_candidate_hands_over(scene, world):
    """The leader begins to replace the master and cannot reach the one to promote; another manager can, and leads."""
    cell = world.cell()
    scene.at_close(cell.close)
    stage = Stage(scene, host=WORLD_ADDRESS, cells={0: (CELL_ADDRESS, cell.fd)})
    stage.set_up()
    cut_off = stage.group.managers[0]
    stage.make_lead(cut_off)
    stage.write(100)
    cell.cut(stage.cluster.backup.port)
    stage.fault("kill")
    stage.wait_replaced()
    assert stage.group.wait_leader() is not cut_off
    assert cut_off.lines("hand_over|raft.deposed")
    cell.heal()
    _, _, lost = stage.finish()
    assert lost == []
