"""L3: a plan interrupted at any step is carried on by the next leader, from that step.

The leader is killed as soon as its event stream shows the intent of a step. Where exactly the kill lands differs from
run to run; what must be true does not.
"""
import time

import pytest
from managers import Follow
from scene import Failure


def kill_leader_at(stage, step):
    leader = stage.group.wait_leader()
    follow = Follow(stage.group, prefer=leader)
    deadline = time.monotonic() + 10
    while not follow.take():
        if time.monotonic() > deadline:
            raise Failure("no event came from `regent events --follow`")
        time.sleep(0.02)
    stage.fault("kill")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        # The failover begins with its first step; later ones have an event of their own.
        for event in follow.take():
            if event["kind"] == "plan.begin" if step == "revoke" else f"{step} begins" in event["text"]:
                leader.kill()
                leader.process.wait()
                follow.stop()
                return leader
        time.sleep(0.001)
    raise Failure(f"no event showed the step {step}")


@pytest.mark.parametrize("step", ["revoke", "apply", "promote", "establish", "open", "repoint"])
def test_leader_killed_at(stage, step):
    epoch = stage.group.status_now()["epoch"]
    stage.write(100)
    dead = kill_leader_at(stage, step)
    stage.write(100)
    stage.wait_replaced()
    _, _, lost = stage.finish()
    assert lost == []
    status = stage.group.status_now()
    assert status["epoch"] > epoch
    # The killed manager comes back and learns what was decided.
    dead.start()
    stage.group.wait_cluster(lambda c: c["epoch"] == status["epoch"], "the epoch stays")
    leader = stage.group.wait_leader()
    assert leader is not None
    stage.cluster.check(stage.cluster.backup, stage.replicas())
