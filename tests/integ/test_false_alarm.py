"""S6: a master that commits its clients' writes is not replaced. Short versions of the bench's false alarms."""
import pytest
from faults import run_all_managers_cut, run_manager_cut, run_sql_stopped
from scene import wait_for

SECONDS = 8
GAP_BOUND_MS = 800  # The bench's bound is 200; these binaries have sanitizers.


def check(seen, expected="ok"):
    gap_ms, before, after, (row, _, acts, _), lost = seen
    assert gap_ms < GAP_BOUND_MS
    assert before == after
    assert not acts
    assert row == expected
    assert lost == []


@pytest.mark.parametrize("everywhere", [False, True], ids=["one", "all"])
def test_sql_thread_stopped(scene, everywhere):
    check(run_sql_stopped(scene, everywhere, SECONDS))


@pytest.mark.parametrize("leading", [False, True], ids=["follower", "leader"])
def test_manager_cut_off_from_the_master(scene, world, leading):
    check(run_manager_cut(scene, world, leading, SECONDS))


def test_all_managers_cut_off_from_the_master(scene, world):
    """A majority cannot reach it, and still it is not dead: its followers hear it."""
    check(run_all_managers_cut(scene, world, SECONDS), "receivers-alive")


def test_acker_lost(stage):
    """Commits wait for the acker that died. The master is healthy: it is not replaced, and stays the only one open."""
    epoch = stage.group.status_now()["epoch"]
    stage.write(50)
    stage.cluster.backup.kill()
    stage.group.wait_cluster(lambda c: c["state"] in ("stalled", "degraded"), "the cluster is stalled or degraded")
    wait_for("the row 'blocked' matches", 10, lambda: stage.verdict()[0] == "blocked")
    _, before, after, (row, _, acts, _) = stage.watch_false_alarm(4)
    assert before == after == epoch and not acts and row == "blocked"
    assert [s.name for s in stage.cluster.writable()] == [stage.cluster.master.name]
    stage.writer.stop()
