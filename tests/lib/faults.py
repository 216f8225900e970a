"""The scene that demo, bench and tests share: three managers, a cluster, a writer, one fault, and what came of it."""
import datetime
import json
import subprocess
import time

import outage
import pymysql
from cluster import TABLE, Cluster, Writer
from managers import Group
from namespaces import CELL_ADDRESS, WORLD_ADDRESS
from scene import Failure, tail, wait_for

FAULTS = ("kill", "freeze", "leader+kill")


class Stage:
    """Managers that watch over an enrolled cluster, and a writer at work."""

    def __init__(self, scene, host="127.0.0.1", cells=None, servers_n=4, say=lambda text: None):
        self.scene = scene
        self.cluster = Cluster(scene, servers_n=servers_n, host=host)
        self.group = Group(scene, host=host, cells=cells)
        self.say = say
        self.writer = None
        self.fault_us = None
        self.fault_wall = None
        self.killed_leader = None

    def set_up(self, **file):
        """Servers, managers, enrolment. 'file': what the cluster file says instead of the defaults."""
        names = {s.name: s.address for s in self.cluster.servers}
        self.cluster.start()
        self.say(f"servers run: {', '.join(f'{n} {a}' for n, a in names.items())}")
        leader = self.group.start()
        self.say(f"managers run, {leader.name} leads: "
                 + ", ".join(f"{m.name} {m.address}" for m in self.group.managers))
        self.group.add_cluster(self.cluster.file(**file))
        status = self.group.wait_ok(self.cluster.master.name)
        self.say(f"cluster {self.cluster.name} is enrolled: epoch {status['epoch']}, master {status['master']}, "
                 f"backup {status['backup']}, acknowledged by {', '.join(status['ackers'])}")

    def write(self, rows, seconds=60):
        """Starts the writer if it does not run, and waits for 'rows' more acknowledged rows."""
        if self.writer is None:
            self.writer = Writer(self.cluster)
        start = self.writer.acknowledged_n()
        wait_for(lambda: f"the writer gets {rows} more rows acknowledged "
                         f"(it has {self.writer.acknowledged_n() - start})",
                 seconds, lambda: self.writer.acknowledged_n() >= start + rows)

    def fault(self, kind):
        """Does it, and notes when. Regent is told nothing."""
        if kind == "leader+kill":
            self.killed_leader = self.group.leader()
            if self.killed_leader is None:
                raise Failure("no manager leads, so it cannot be killed")
        self.fault_us = time.monotonic_ns() // 1000
        self.fault_wall = time.time()
        if kind == "freeze":
            self.cluster.master.freeze()
            return
        if kind not in FAULTS:
            raise Failure(f"no fault '{kind}'; there are {', '.join(FAULTS)}")
        if self.killed_leader is not None:
            self.killed_leader.kill()
        self.cluster.master.kill()

    def since_fault_ms(self, iso_time):
        at = datetime.datetime.fromisoformat(iso_time.replace("Z", "+00:00"))
        return (at.timestamp() - self.fault_wall) * 1000

    def wait_replaced(self, seconds=30):
        """Until the backup leads the cluster, no plan runs, and the replicas follow, by the servers' own words."""
        new = self.cluster.backup
        self.group.wait_cluster(lambda c: c["master"] == new.name and not c["plan"],
                                f"{new.name} is master and the failover is done", seconds, self.cluster.name)
        self.cluster.wait_followers(new, self.replicas())

    def describe(self):
        """What can be said of a stage on which something failed."""
        lines = []
        for command in (["status"], ["plan", "list"]):
            try:
                lines += self.group.regent(*command, check=False, seconds=5)[1:]
            except (Failure, IndexError, subprocess.TimeoutExpired) as e:
                lines.append(f"regent {' '.join(command)}: {e}\n")
        for process in self.group.managers + self.cluster.servers:
            lines.append(f"-- end of {process.name}'s log\n{tail(self.scene.log_path(process.name), 12)}")
        return "".join(lines)

    def replicas(self):
        return self.cluster.servers[2:]

    def thaw(self, seconds=20):
        """Ends a freeze: the old master wakes up open, and Regent must close it. Returns how long that took, in ms."""
        old = self.cluster.master
        start = time.monotonic()
        old.thaw()
        wait_for(f"{old.name} is read-only and has no client left after it woke up", seconds,
                 lambda: is_closed(old, self.cluster.secrets["writer"]))
        return (time.monotonic() - start) * 1000

    def finish(self):
        """Stops the writer and checks the servers. Returns (outage_ms, rows acknowledged, rows lost)."""
        new = self.cluster.backup
        self.writer.stop()
        self.cluster.check(new, self.replicas())
        rows = outage.read(self.writer.record)
        lost = outage.lost(rows, new, self.cluster.secrets["writer"], self.cluster.secrets["writer_password"], TABLE)
        return outage.longest_gap_ms(rows, self.fault_us), len(outage.acknowledged(rows)), lost

    def counts(self):
        """Acknowledged rows before and after the fault."""
        return outage.counts_around(outage.read(self.writer.record), self.fault_us)

    # False alarms: something is wrong, and the master must stay.

    def make_lead(self, manager, tries=10):
        """Restarts whoever leads until 'manager' does."""
        for _ in range(tries):
            leader = self.group.wait_leader()
            if leader is manager:
                return
            leader.stop()
            self.group.wait_leader()
            leader.start()
        raise Failure(f"{manager.name} was not elected leader in {tries} elections")

    def verdict(self):
        """The row of the diagnosis that matches now: (name, what it means, whether it acts, evidence)."""
        _, out, _ = self.group.regent("--json", "explain", self.cluster.name)
        said = json.loads(out)
        return said["verdict"], said["means"], said["acts"], said["evidence"]

    def watch_false_alarm(self, seconds):
        """The disturbance is there: lets the writer run, then returns (gap_ms, epoch before, epoch after, verdict)."""
        epoch = self.group.status_now(self.cluster.name)["epoch"]
        start_us = time.monotonic_ns() // 1000
        time.sleep(seconds)
        verdict = self.verdict()
        rows = outage.read(self.writer.record)
        after = self.group.status_now(self.cluster.name)
        if after["master"] != self.cluster.master.name or after["plan"]:
            raise Failure(f"the master was not left alone: master {after['master']}, plan {after['plan']}")
        return outage.longest_gap_ms(rows, start_us), epoch, after["epoch"], verdict

    def finish_undisturbed(self):
        """Ends a false alarm: the first master alone is open, and all rows are there. Returns lost rows."""
        self.writer.stop()
        master = self.cluster.master
        self.cluster.check(master)
        rows = outage.read(self.writer.record)
        s = self.cluster.secrets
        return outage.lost(rows, master, s["writer"], s["writer_password"], TABLE)


def run_all_managers_cut(scene, world, seconds):
    """As run_manager_cut(), but no manager at all reaches the master, which serves its clients and followers."""
    cell = world.cell()
    scene.at_close(cell.close)
    stage = Stage(scene, host=WORLD_ADDRESS, cells={i: (CELL_ADDRESS, cell.fd) for i in range(3)})
    stage.set_up()
    stage.write(100)
    cell.cut(stage.cluster.master.port)
    seen = stage.watch_false_alarm(seconds)
    cell.heal()
    return (*seen, stage.finish_undisturbed())


def is_closed(server, account):
    """Read-only, and no session of 'account' (the application) is left. Not yet when our own session is ended too."""
    try:
        rows = server.sql(f"SELECT @@global.read_only AS ro,"
                          f" (SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{account}') AS clients")
    except pymysql.MySQLError:
        return False
    return rows[0]["ro"] == 1 and rows[0]["clients"] == 0


def disturb_sql_threads(stage, servers):
    """Stops the appliers of 'servers'. Returns what undoes it."""
    for server in servers:
        server.sql("STOP SLAVE SQL_THREAD")

    def undo():
        for server in servers:
            server.sql("START SLAVE SQL_THREAD")
        for server in servers:
            wait_for(f"{server.name} applies again", 20,
                     lambda s=server: stage.cluster.follows(s, stage.cluster.master))

    return undo


def run_sql_stopped(scene, everywhere, seconds):
    """Runs the writer for 'seconds' while the appliers of one replica, or of all, stand still.
    Returns (gap_ms, epoch before, epoch after, verdict, lost)."""
    stage = Stage(scene)
    stage.set_up()
    stage.write(100)
    undo = disturb_sql_threads(stage, stage.cluster.servers[1:] if everywhere else stage.cluster.servers[-1:])
    seen = stage.watch_false_alarm(seconds)
    undo()
    return (*seen, stage.finish_undisturbed())


def run_manager_cut(scene, world, leading, seconds):
    """Runs the writer for 'seconds' while one manager, the leader or a follower, cannot reach the healthy master.
    'world': namespaces.World, entered. Returns as run_sql_stopped()."""
    cell = world.cell()
    scene.at_close(cell.close)
    stage = Stage(scene, host=WORLD_ADDRESS, cells={0: (CELL_ADDRESS, cell.fd)})
    stage.set_up()
    first, second = stage.group.managers[:2]
    stage.make_lead(first if leading else second)
    stage.write(100)
    cell.cut(stage.cluster.master.port)
    seen = stage.watch_false_alarm(seconds)
    cell.heal()
    return (*seen, stage.finish_undisturbed())
