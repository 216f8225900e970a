"""A master that was replaced comes back: it must not accept writes, and nobody's session may stay on it."""
import pymysql
from faults import is_closed
from scene import wait_for


def fail_over(stage):
    stage.write(50)
    stage.fault("kill")
    stage.write(50)
    stage.wait_replaced()
    stage.cluster.master.process.wait()


def test_restarted_old_master_stays_closed(stage):
    """It boots as its files say (read-only), and Regent leaves it so and says what to do."""
    fail_over(stage)
    old, new = stage.cluster.master, stage.cluster.backup
    old.start()
    old.wait_ready()
    stage.write(100)
    status = stage.group.wait_cluster(
        lambda c: next(s for s in c["servers"] if s["name"] == old.name)["state"] == "quarantined",
        f"{old.name} is quarantined")
    assert next(s for s in status["servers"] if s["name"] == old.name)["reason"]
    assert not old.is_writable()
    _, _, lost = stage.finish()
    assert lost == []
    assert not new.slave()


def test_reopened_old_master_is_closed(stage):
    """Somebody's script opens it: Regent ends the clients' sessions and makes it read-only (F2)."""
    fail_over(stage)
    old = stage.cluster.master
    old.start()
    old.wait_ready()
    s = stage.cluster.secrets
    client = old.connect(s["writer"], s["writer_password"], tcp=True)
    old.sql("SET GLOBAL read_only=0")
    wait_for(f"{old.name} is closed again", 15, lambda: is_closed(old, s["writer"]))
    try:
        client.ping(reconnect=False)
        raise AssertionError("the client's session on the replaced master lives on")
    except pymysql.MySQLError:
        pass
    stage.write(50)
    _, _, lost = stage.finish()
    assert lost == []
