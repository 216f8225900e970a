"""S6: a master that commits its clients' writes is not replaced. Short versions of the bench's false alarms."""
import pytest
from faults import run_manager_cut, run_sql_stopped

SECONDS = 8
GAP_BOUND_MS = 800  # The bench's bound is 200; these binaries have sanitizers.


def check(seen):
    gap_ms, before, after, (row, _, acts, _), lost = seen
    assert gap_ms < GAP_BOUND_MS
    assert before == after
    assert not acts
    assert row == "ok"
    assert lost == []


@pytest.mark.parametrize("everywhere", [False, True], ids=["one", "all"])
def test_sql_thread_stopped(scene, everywhere):
    check(run_sql_stopped(scene, everywhere, SECONDS))


@pytest.mark.parametrize("leading", [False, True], ids=["follower", "leader"])
def test_manager_cut_off_from_the_master(scene, world, leading):
    check(run_manager_cut(scene, world, leading, SECONDS))
