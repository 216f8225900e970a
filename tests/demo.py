#!/usr/bin/python3
"""The main job of Regent, live on loopback: the master dies, the backup takes over, no acknowledged row is lost.

    make demo                       SIGKILL the master's mysqld
    make demo DEMO_FAULT=freeze     SIGSTOP it, and wake it up at the end
    make demo DEMO_FAULT=leader+kill   SIGKILL it and the leading manager at the same instant
    make demo KEEP=1                leave it running; DEMO_DIR (default: a new directory) gets a file 'env'
    make demo-stop DIR=...          end a demo that was left running

Exit 0 only if the backup is master, the replicas follow it, exactly one server is writable (asked by SQL) and no
acknowledged row is missing. Without KEEP, and after Ctrl-C, no process and no file is left.
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import outage  # noqa: E402
from faults import FAULTS, Stage  # noqa: E402
from managers import Follow  # noqa: E402
from scene import Failure, Interrupted, Scene, install_signal_handlers, wait_for  # noqa: E402

ROWS = int(os.environ.get("DEMO_ROWS") or 500)  # Acknowledged before the fault, and again after it.
FAULT_TEXT = {"kill": "SIGKILL to the master's mysqld ({master})",
              "freeze": "SIGSTOP to the master's mysqld ({master})",
              "leader+kill": "SIGKILL to the master's mysqld ({master}) and to the leading manager ({leader})"}
started = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - started:6.2f} s] {text}", flush=True)


def indented(text, by):
    return "".join(" " * by + line + "\n" for line in text.rstrip("\n").splitlines())


class Timeline:
    """Prints what happens, in milliseconds since the fault: Regent's events and the writer's first row after it."""

    def __init__(self, stage, follow):
        self.stage = stage
        self.follow = follow
        self._writer_back = False

    def line(self, ms, who, text):
        print(f"  {ms:+8.0f} ms  {who:<16} {text}", flush=True)

    def poll(self):
        for event in self.follow.take():
            self.line(self.stage.since_fault_ms(event["time"]), event["kind"], event["text"])
            if event.get("evidence"):
                print(indented(event["evidence"], 33), end="", flush=True)
        self._look_at_writer()

    def _look_at_writer(self):
        if self._writer_back:
            return
        rows = outage.read(self.stage.writer.record)
        old = self.stage.cluster.master.address
        for row in reversed(rows):
            if row[1] < self.stage.fault_us:
                return
            if row[3] == "ack" and row[2] != old:
                first = next(r for r in rows if r[1] >= self.stage.fault_us and r[3] == "ack" and r[2] != old)
                self._writer_back = True
                name = next(s.name for s in self.stage.cluster.servers if s.address == first[2])
                self.line((first[1] - self.stage.fault_us) / 1000, "writer",
                          f"row {first[0]} acknowledged by {name} ({first[2]})")
                return

    def until(self, what, seconds, condition):
        def look():
            self.poll()
            return condition()

        wait_for(what, seconds, look)


def show_topology(stage, title):
    _, out, _ = stage.group.regent("topology")
    print(f"\n{title}:\n{indented(out, 2)}", flush=True)


def run_demo(scene, kind):
    stage = Stage(scene, say=say)
    try:
        return stage, play(stage, kind)
    except Failure:
        print(stage.describe(), file=sys.stderr)
        raise


def play(stage, kind):
    """Returns whether all went as it must."""
    cluster = stage.cluster
    stage.set_up()
    show_topology(stage, "Topology before")
    stage.write(ROWS)
    say(f"the writer has {stage.writer.acknowledged_n()} rows acknowledged; now the fault")
    leader = stage.group.leader()
    watched = next(m for m in stage.group.managers if m is not leader)
    follow = Follow(stage.group, prefer=watched)
    wait_for("`regent events --follow` tells the past", 10, follow.take)
    stage.fault(kind)
    timeline = Timeline(stage, follow)
    print(f"\n  {0:+8.0f} ms  {'the fault':<16} "
          + FAULT_TEXT[kind].format(master=cluster.master.name, leader=leader.name), flush=True)
    count = stage.writer.acknowledged_n()
    # No status is asked for while the failover runs: the time of these processes would count as outage.
    timeline.until("the writer gets its rows acknowledged again", 60,
                   lambda: stage.writer.acknowledged_n() >= count + ROWS)
    timeline.until(f"{cluster.backup.name} is master and the failover is done", 30, lambda: replaced(stage))
    stage.wait_replaced()
    if kind == "freeze":
        print(f"\n  SIGCONT to {cluster.master.name}: it wakes up as it was, open for writes", flush=True)
        ms = stage.thaw()
        print(f"  {cluster.master.name} is read-only and has no client left {ms:.0f} ms after it woke up", flush=True)
        timeline.until("the plan that closed it is done", 10, lambda: no_plan(stage))
    timeline.poll()
    follow.stop()
    stage.writer.stop()
    wait_for("the managers see the servers at rest, at one position", 10, lambda: is_at_rest(stage))
    show_topology(stage, "Topology after")
    return report(stage)


def replaced(stage):
    status = stage.group.cluster_status(stage.cluster.name)
    return status and status["master"] == stage.cluster.backup.name and not status["plan"]


def is_at_rest(stage):
    status = stage.group.cluster_status(stage.cluster.name)
    names = [stage.cluster.backup.name] + [s.name for s in stage.replicas()]
    return status and len({s["gtid"] for s in status["servers"] if s["name"] in names}) == 1


def no_plan(stage):
    status = stage.group.cluster_status(stage.cluster.name)
    return status and not status["plan"]


def report(stage):
    """Checks the servers, prints the last lines, returns whether all is as it must be."""
    new = stage.cluster.backup
    outage_ms, acknowledged, lost = stage.finish()
    before, after = stage.counts()
    print(f"by SQL: {new.name} alone is writable; {', '.join(s.name for s in stage.replicas())} follow it")
    print(f"rows acknowledged before the fault: {before}, after it: {after}")
    if lost:
        print(f"lost rows: {lost[:20]}")
    print(f"outage: {outage_ms:.0f} ms")
    print(f"acknowledged: {acknowledged} rows, lost: {len(lost)}", flush=True)
    return not lost and before >= ROWS and after >= ROWS


def write_env(stage):
    live = stage.group.running()
    tls_dir = stage.group.pki.tls_dir() if stage.group.pki else ""
    lines = [f"REGENT_CONNECT={live[0].address}", f"REGENT_TLS_DIR={tls_dir}", f"DEMO_PID={os.getpid()}"]
    for m in stage.group.managers:
        lines += [f"{m.name.upper()}_ADDRESS={m.address}", f"{m.name.upper()}_PID={m.process.pid}"]
    for s in stage.cluster.servers:
        lines += [f"{s.name.upper()}_PORT={s.port}", f"{s.name.upper()}_SOCKET={s.socket}",
                  f"{s.name.upper()}_PID={s.pid}"]
    path = stage.scene.write("env", "\n".join(lines) + "\n")
    build = os.path.relpath(os.environ.get("REGENT_BUILD") or "build")
    print(f"\nIt runs on, in {stage.scene.dir}. To talk to it:\n"
          f"  . {path}; export REGENT_CONNECT REGENT_TLS_DIR\n"
          f"  {build}/regent status\n"
          f"  {build}/regent explain {stage.cluster.name}\n"
          f"  mariadb --no-defaults -uroot -S {stage.cluster.backup.socket}\n"
          f"To end it: make demo-stop DIR={stage.scene.dir}", flush=True)


def keep_running(stage, report_ready):
    """The demo stays: this process holds the others, in the background, until SIGTERM."""
    os.setsid()
    report_ready()
    while True:
        for child in stage.scene.children:
            child.poll()
        time.sleep(0.5)


def perform(kind, directory, report_ready=None):
    """Returns the exit code. With 'report_ready' the scene stays open after a good end, until a signal comes."""
    install_signal_handlers()
    try:
        with Scene("demo", directory) as scene:
            stage, good = run_demo(scene, kind)
            if report_ready is None or not good:
                return 0 if good else 1
            write_env(stage)
            keep_running(stage, report_ready)
    except Failure as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    except Interrupted as e:
        if report_ready is not None and os.getsid(0) == os.getpid():
            return 0  # demo-stop
        print(f"demo: {e}", file=sys.stderr)
        return 128 + e.number


def perform_and_keep(kind, directory):
    """A child does all and stays; this process ends when the demo has come to its end."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)

        def report_ready():
            os.write(write_end, b"\0")
            os.close(write_end)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)

        code = 1
        try:
            code = perform(kind, directory, report_ready)
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(write_end)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: os.kill(child, n))
    if os.read(read_end, 1) == b"\0":
        return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def stop(directory):
    try:
        with open(os.path.join(directory, "env")) as f:
            pid = next(int(line.split("=")[1]) for line in f if line.startswith("DEMO_PID="))
    except (OSError, StopIteration, ValueError):
        print(f"demo-stop: {directory} is not the directory of a demo that runs (it has no file 'env')",
              file=sys.stderr)
        return 1
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            ours = b"demo.py" in f.read()
    except OSError:
        ours = False
    if not ours:
        print(f"demo-stop: the demo of {directory} (process {pid}) does not run any more", file=sys.stderr)
        return 1
    os.kill(pid, signal.SIGTERM)
    wait_for(f"{directory} is gone", 20, lambda: not os.path.exists(directory))
    print(f"demo-stop: ended, {directory} is removed")
    return 0


def main():
    if sys.argv[1:2] == ["--stop"]:
        if len(sys.argv) != 3 or not sys.argv[2]:
            print("usage: make demo-stop DIR=directory", file=sys.stderr)
            return 2
        return stop(sys.argv[2])
    kind = os.environ.get("DEMO_FAULT") or "kill"
    directory = os.environ.get("DEMO_DIR") or None
    if kind not in FAULTS:
        print(f"demo: DEMO_FAULT={kind}: there are {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    if directory and os.path.exists(directory):
        print(f"demo: {directory} exists; DEMO_DIR is made new and removed at the end", file=sys.stderr)
        return 2
    if os.environ.get("KEEP") == "1":
        return perform_and_keep(kind, directory)
    return perform(kind, directory)


if __name__ == "__main__":
    sys.exit(main())
