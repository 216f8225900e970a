"""A server that was restarted comes back closed and without replication, by its files: Regent makes it follow again."""
import outage
import pytest
from faults import Stage
from scene import Failure, wait_for

BOUND_S = 15


@pytest.fixture
def lossless(scene):
    """As 'stage', of a cluster that stalls rather than lose."""
    stage = Stage(scene)
    try:
        stage.set_up(durability="lossless")
        yield stage
    except Failure:
        print(stage.describe())
        raise


def restart(server):
    server.kill()
    server.process.wait()
    server.start()
    server.wait_ready()


def wait_following(stage, server):
    wait_for(f"{server.name} follows {stage.cluster.master.name} again", BOUND_S,
             lambda: stage.cluster.follows(server, stage.cluster.master))


def server_of(status, server):
    return next(s for s in status["servers"] if s["name"] == server.name)


def check_undisturbed(stage, epoch):
    """No failover: the same master in the same epoch, and every acknowledged row is there."""
    status = stage.group.status_now()
    assert (status["master"], status["epoch"]) == (stage.cluster.master.name, epoch)
    lost = stage.finish_undisturbed()
    assert lost == []
    rows = outage.acknowledged(outage.read(stage.writer.record))
    assert {row[2] for row in rows} == {stage.cluster.master.address}


def test_acker_restarted_under_load(lossless):
    """Commits wait for it, go on by themselves when it is attached again, and the reign is proven anew."""
    stage, acker = lossless, lossless.cluster.backup
    epoch = stage.group.status_now()["epoch"]
    stage.write(100)
    restart(acker)
    stage.write(100, seconds=BOUND_S)
    wait_following(stage, acker)
    assert acker.status("Rpl_semi_sync_slave_status") == "ON"
    stage.group.wait_cluster(lambda c: c["lossless"] and c["state"] == "ok", "the reign is proven again", BOUND_S)
    said = [f"{e['kind']} {e['text']}" for e in stage.group.events()]
    kinds = [text.split(" ")[0] for text in said]
    assert kinds.index("reign.unproven") < max(i for i, k in enumerate(kinds) if k == "reign.proven"), said
    assert any(f"{acker.name} is to receive from {stage.cluster.master.name} again, as its acker" in t for t in said)
    check_undisturbed(stage, epoch)


def test_acker_restarted_then_the_master_lost(lossless):
    """The new proof is as good as the first one: the acker that was restarted is promoted, and nothing is lost."""
    stage, acker = lossless, lossless.cluster.backup
    stage.write(100)
    restart(acker)
    stage.write(100, seconds=BOUND_S)
    stage.group.wait_cluster(lambda c: c["lossless"] and c["state"] == "ok", "the reign is proven again", BOUND_S)
    stage.fault("kill")
    stage.write(100)
    stage.wait_replaced()
    _, _, lost = stage.finish()
    assert lost == []


def test_replica_restarted(stage):
    """A plain replica follows again, and may not acknowledge."""
    replica, epoch = stage.replicas()[-1], stage.group.status_now()["epoch"]
    stage.write(50)
    restart(replica)
    wait_following(stage, replica)
    assert replica.value("@@global.rpl_semi_sync_slave_enabled") == 0
    assert stage.cluster.master.status("Rpl_semi_sync_master_clients") == "1"
    stage.group.wait_cluster(lambda c: c["state"] == "ok", "all is well", BOUND_S)
    stage.write(50)
    check_undisturbed(stage, epoch)


def test_receiver_stopped_by_hand_is_left_alone(stage):
    """What an operator stopped is his: it is told, and not started. Nor is anything while the cluster is paused."""
    stopped, restarted = stage.replicas()
    stage.write(20)
    stopped.sql("STOP SLAVE IO_THREAD")
    stage.group.regent("cluster", "pause", "shop")
    restart(restarted)
    status = stage.group.wait_cluster(
        lambda c: server_of(c, stopped)["health"] == server_of(c, restarted)["health"] == "stopped",
        "both are shown as stopped")
    assert "by hand" in server_of(status, stopped)["reason"]
    assert not any("is to receive" in e["text"] for e in stage.group.events())
    stage.group.regent("cluster", "resume", "shop")
    wait_following(stage, restarted)
    assert stopped.slave()["Slave_IO_Running"] == "No"
    stage.writer.stop()
