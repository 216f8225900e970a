"""Conformance scripts (sim/conform/*.txt) on real MariaDB servers: what sim/conform.c does on the model, done for real.

A script is a list of lines; each is performed, and printed with what came of it. Both print the same, or the model (or
sim/FACTS.md) is wrong. sim/conform/README.md describes the language. Three servers are reused by all scripts: m the
master, a its acker, r a replica without semi-sync; every script begins with them in that state and empty.
"""
import difflib
import os
import re
import select
import signal
import subprocess
import time

import pymysql
from pymysql.constants import CLIENT, COMMAND

from scene import ROOT, Failure, wait_for
from servers import Server

SCRIPTS = os.path.join(ROOT, "sim", "conform")
NAMES = ("m", "a", "r")
WAIT_S = 20
PENDING_S = 0.25
ACCOUNTS = {"": ("app", "app"), "@": ("root", ""), "%": ("regent_control", "control")}
SET_UP = """\
CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY 'app'
CREATE USER IF NOT EXISTS repl@'%' IDENTIFIED BY 'repl'
GRANT REPLICATION SLAVE ON *.* TO repl@'%'
CREATE USER IF NOT EXISTS regent_control@'%' IDENTIFIED BY 'control'
GRANT RELOAD, PROCESS, CONNECTION ADMIN, READ_ONLY ADMIN, BINLOG ADMIN, REPLICATION MASTER ADMIN, \
REPLICATION SLAVE ADMIN, SLAVE MONITOR ON *.* TO regent_control@'%'
GRANT CREATE, SELECT, INSERT, UPDATE ON regent.* TO regent_control@'%'
CREATE DATABASE IF NOT EXISTS t
CREATE OR REPLACE TABLE t.t (id BIGINT UNSIGNED PRIMARY KEY) ENGINE=InnoDB
GRANT SELECT, INSERT ON t.* TO app@'%'
"""


def scripts():
    return sorted(os.path.join(SCRIPTS, n) for n in os.listdir(SCRIPTS) if n.endswith(".txt"))


def facts_of(path):
    """(id, text) of each fact that the script pins."""
    with open(path, encoding="utf-8") as f:
        return re.findall(r"^fact ([A-Z]+-\d+): (.*)$", f.read(), re.M)


def directory():
    """Where the servers live: in memory when there is room, since no script asks what an fsync is worth."""
    if os.environ.get("REGENT_TEST_DIR") or not os.access("/dev/shm", os.W_OK):
        return None
    space = os.statvfs("/dev/shm")
    if space.f_bavail * space.f_frsize < 1 << 30:
        return None
    return f"/dev/shm/regent-conform-{os.getpid()}-{time.monotonic_ns()}"


class Fact:
    """One fact, and what came of its lines on both sides."""

    def __init__(self, name, model, real):
        self.name = name
        self.model = model
        self.real = real
        self.agrees = model == real

    def describe(self, path):
        lines = difflib.unified_diff(self.model, self.real, "model", "real", n=2, lineterm="")
        return f"{self.name} differs ({os.path.basename(path)}):\n" + "\n".join("    " + x for x in lines)


def sections(transcript):
    """Lines of the transcript by fact; what stands before the first belongs to the first."""
    found = {}
    name = None
    early = []
    for line in transcript:
        start = re.match(r"fact ([A-Z]+-\d+):", line)
        if start:
            name = start.group(1)
            found[name] = early if not found else []
        (found[name] if name else early).append(line)
    return found


def run_model(binary, path):
    """The model's transcript; what it says when it gives up is its last line."""
    done = subprocess.run([binary, path], capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()[1:]
    return lines if done.returncode == 0 else [*lines, f"the model ended with {done.returncode}: {done.stderr[-2000:]}"]


def compare(binary, stand, path):
    """A Fact for each fact of the script."""
    model = sections(run_model(binary, path))
    try:
        real = sections(stand.run(path))
    except (Failure, pymysql.MySQLError) as e:
        real = {name: [f"the real servers: {e}"] for name, _ in facts_of(path)}
    return [Fact(name, model.get(name, ["nothing"]), real.get(name, ["nothing at all"])) for name, _ in facts_of(path)]


class Session:
    def __init__(self, server, account):
        user, password = ACCOUNTS[account]
        place = {"unix_socket": server.socket} if account == "@" else {"host": server.host, "port": server.port}
        self.conn = pymysql.connect(user=user, password=password, autocommit=True, connect_timeout=5,
                                    read_timeout=WAIT_S, client_flag=CLIENT.MULTI_STATEMENTS, **place)
        self.id = self.conn.thread_id()
        self.error = None

    def send(self, sql):
        self.error = None
        try:
            self.conn._execute_command(COMMAND.COM_QUERY, sql.encode())
        except (pymysql.MySQLError, OSError) as e:
            self.error = e

    def is_answered(self, seconds):
        if self.error is not None or self.conn._sock is None:
            return True
        return bool(select.select([self.conn._sock], [], [], seconds)[0])

    def answer(self, seconds=WAIT_S):
        """(text, sets)"""
        if not self.is_answered(seconds):
            return "pending", []
        sets = []
        try:
            if self.error is not None:
                raise self.error
            while True:
                self.conn._read_query_result()
                result = self.conn._result
                names = [d[0] for d in result.description] if result.description else []
                sets.append((names, result.rows))
                if not result.has_next:
                    break
        except pymysql.MySQLError as e:
            code = e.args[0]
            lost = code in (0, 2006, 2013, 1927)
            return "lost" if lost else " ; ".join([show(s) for s in sets] + [f"error {code}"]), sets
        except (OSError, AttributeError):
            return "lost", sets
        return " ; ".join(show(s) for s in sets), sets

    def close(self):
        try:
            self.conn._force_close()
        except AttributeError:
            pass


def show(one):
    names, rows = one
    if not names:
        return "ok"
    if not rows:
        return "none"
    return " | ".join(" ".join(cell(c) for c in row) for row in rows)


def cell(value):
    return "NULL" if value is None else value.decode() if isinstance(value, bytes) else str(value)


class Stand:
    """The three servers, and one script at a time on them."""

    def __init__(self, scene):
        self.scene = scene
        self.servers = {n: Server(scene, n, i + 1) for i, n in enumerate(NAMES)}
        self.sessions = {}
        self.values = {}
        self.frozen = set()
        self.options = {n: [] for n in NAMES}
        for server in self.servers.values():
            server.start()
        for server in self.servers.values():
            server.wait_ready()

    # --- the state in which every script begins

    def reset(self):
        self._close_sessions()
        self.values = {}
        for name in list(self.frozen):
            self._thaw(name)
        for name, server in self.servers.items():
            if server.is_running() and self.options[name]:
                self._kill(name)
        for name, server in self.servers.items():
            if not server.is_running():
                self.options[name] = []
                server.start()
        for server in self.servers.values():
            server.wait_ready()
        for name in ("a", "r", "m"):
            self._clean(self.servers[name])
        for name in NAMES:
            self._empty(self.servers[name])
        for name in ("a", "r"):
            self._attach(self.servers[name], name == "a")
        m = self.servers["m"]
        wait_for("the acker is attached", WAIT_S, lambda: m.status("Rpl_semi_sync_master_clients") == "1")
        for name in ("a", "r"):
            wait_for("replicas are connected", WAIT_S,
                     lambda s=self.servers[name]: s.slave()["Slave_IO_Running"] == "Yes")
        m.sql("SET GLOBAL rpl_semi_sync_master_enabled=1", "FLUSH NO_WRITE_TO_BINLOG STATUS", "SET GLOBAL read_only=0")

    def _clean(self, server):
        mine = server.connect()
        with mine.cursor() as c:
            c.execute("SET sql_log_bin=0")
            for row in self._others(c):
                try:
                    c.execute(f"KILL CONNECTION {row['ID']}")
                except pymysql.MySQLError:
                    pass
            c.execute("SET GLOBAL rpl_semi_sync_master_enabled=0")
            c.execute("STOP SLAVE")
            c.execute("SET GLOBAL read_only=1, GLOBAL rpl_semi_sync_slave_enabled=0,"
                      " GLOBAL rpl_semi_sync_master_timeout=4294967295, GLOBAL rpl_semi_sync_master_wait_no_slave=1,"
                      " GLOBAL rpl_semi_sync_slave_kill_conn_timeout=1, GLOBAL slave_net_timeout=4")
            c.execute("RESET SLAVE ALL")
        mine.close()

    @staticmethod
    def _others(cursor):
        cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER NOT IN"
                       " ('system user', 'event_scheduler')")
        return cursor.fetchall()

    @staticmethod
    def _empty(server):
        server.sql("RESET MASTER", "SET GLOBAL gtid_slave_pos=''", "DROP DATABASE IF EXISTS regent",
                   *SET_UP.splitlines(), "RESET MASTER", "FLUSH STATUS", logged=False)

    def _attach(self, server, acker):
        server.sql(f"SET GLOBAL rpl_semi_sync_slave_enabled={int(acker)}",
                   f"CHANGE MASTER '' TO {self._options('m')}", "START SLAVE")

    def _options(self, to):
        return (f"MASTER_HOST='127.0.0.1', MASTER_PORT={self.servers[to].port}, MASTER_USER='repl',"
                " MASTER_PASSWORD='repl', MASTER_SSL=0, MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=0.25,"
                " MASTER_CONNECT_RETRY=1")

    # --- lines

    def run(self, path):
        """The transcript: one line a line of the script that is not blank or a comment."""
        self.reset()
        out = []
        with open(path, encoding="utf-8") as f:
            for line in f.read().replace("\\\n", "").splitlines():
                line = line.strip()
                if line and not line.startswith("#"):
                    said = self.perform(line)
                    out.append(line if said is None else f"{line} -> {said}")
        return out

    def perform(self, line):
        for pattern, method in LINES:
            found = re.fullmatch(pattern, line)
            if found:
                return method(self, *found.groups())
        raise Failure(f"a line that is not of the language: {line}")

    def _sql_of(self, text):
        text = re.sub(r"\$(\w+)", lambda f: str(self.values[f.group(1)]), text)
        for name in NAMES:
            text = text.replace(f"@TO_{name}@", self._options(name))
        return text

    def _session(self, name):
        if name not in self.sessions:
            server, _, rest = name.partition(".")
            account = rest[0] if rest and rest[0] in ACCOUNTS else "@" if not rest else ""
            self.sessions[name] = Session(self.servers[server], account)
        return self.sessions[name]

    def fact(self, _id, _text):
        return None

    def sync(self, name, sql):
        try:
            session = self._session(name)
        except pymysql.MySQLError as e:
            return f"no session {e.args[0]}"
        session.send(self._sql_of(sql))
        text, _ = session.answer()
        if text == "lost":
            self._drop(name)
        return text

    def send(self, name, sql):
        self._session(name).send(self._sql_of(sql))

    def wait(self, name):
        text, _ = self.sessions[name].answer()
        if text == "lost":
            self._drop(name)
        return text

    def pending(self, name):
        return "yes" if not self.sessions[name].is_answered(PENDING_S) else "no"

    def close(self, name):
        self._drop(name)

    def _drop(self, name):
        session = self.sessions.pop(name, None)
        if session is not None:
            session.close()

    def until(self, name, wanted, sql):
        last = [None]

        def is_so():
            last[0] = self.sync(name, sql)
            return last[0] == self._sql_of(wanted)

        try:
            wait_for("", WAIT_S, is_so)
        except Failure:
            return f"not: {last[0]}"
        return "ok"

    def let_id(self, variable, name):
        self.values[variable] = self._session(name).id

    def let(self, variable, name, sql):
        self.values[variable] = self.sync(name, sql)

    def channel(self, name, fields):
        slave = self._slave(name)
        return " ".join(str(slave.get(f, "absent")) for f in fields.split())

    def _slave(self, name):
        _, sets = self._ask(name, "SHOW ALL SLAVES STATUS")
        if not sets or not sets[0][1]:
            return {}
        return dict(zip(sets[0][0], (cell(c) for c in sets[0][1][0])))

    def _ask(self, name, sql):
        session = self._session(name)
        session.send(sql)
        return session.answer()

    def channel_until(self, name, conditions):
        wanted = dict(c.split("=", 1) for c in self._sql_of(conditions).split())
        last = [None]

        def is_so():
            slave = self._slave(name)
            last[0] = {k: slave.get(k) for k in wanted}
            return last[0] == wanted

        try:
            wait_for("", WAIT_S, is_so)
        except Failure:
            return "not: " + " ".join(f"{k}={v}" for k, v in last[0].items())
        return "ok"

    def within(self, low, high, line):
        began = time.monotonic()
        said = self.perform(line)
        took_ms = (time.monotonic() - began) * 1000
        in_time = int(low) <= took_ms <= int(high)
        return f"{said}, {'in time' if in_time else f'took {took_ms:.0f} ms'}"

    def pause(self, ms):
        time.sleep(int(ms) / 1000)

    def kill(self, name):
        self._kill(name)

    def _kill(self, name):
        self._drop(name)
        server = self.servers[name]
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        self.frozen.discard(name)

    def stop(self, name):
        self._drop(name)
        self.servers[name].stop()

    def start(self, name, options):
        self.options[name] = (options or "").split()
        self.servers[name].start(*self.options[name])
        self.servers[name].wait_ready()

    def freeze(self, name):
        self.servers[name].freeze()
        with open(f"/proc/{self.servers[name].pid}/stat", encoding="utf-8") as f:
            wait_for("it stands", 5, lambda: (f.seek(0), f.read().rsplit(")", 1)[1].split()[0])[1] == "T")
        self.frozen.add(name)

    def thaw(self, name):
        self._thaw(name)

    def _thaw(self, name):
        self.servers[name].thaw()
        self.frozen.discard(name)

    def purge(self, name):
        """All binlogs but the last; a file that a dump thread still reads is tried again."""
        server = self.servers[name]
        server.sql("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")

        def is_purged():
            logs = server.sql("SHOW BINARY LOGS")
            server.sql(f"PURGE BINARY LOGS TO '{logs[-1]['Log_name']}'")
            return len(logs) == 1

        wait_for("the binlogs are purged", WAIT_S, is_purged)

    def _close_sessions(self):
        for name in list(self.sessions):
            self._drop(name)


NAME = r"([mar](?:\.[@%]?\w+)?)"
LINES = [
    (r"fact ([A-Z]+-\d+): (.*)", Stand.fact),
    (r"let (\w+) = " + NAME + r" id", Stand.let_id),
    (r"let (\w+) = " + NAME + r": (.*)", Stand.let),
    (NAME + r": (.*)", Stand.sync),
    (NAME + r"& (.*)", Stand.send),
    (NAME + r" wait", Stand.wait),
    (NAME + r" pending", Stand.pending),
    (NAME + r" close", Stand.close),
    (NAME + r' until "(.*?)": (.*)', Stand.until),
    (r"channel ([mar]) until (.*)", Stand.channel_until),
    (r"channel ([mar]) (.*)", Stand.channel),
    (r"within (\d+)\.\.(\d+) ms (.*)", Stand.within),
    (r"pause (\d+) ms", Stand.pause),
    (r"kill ([mar])", Stand.kill),
    (r"stop ([mar])", Stand.stop),
    (r"start ([mar])(?: (.*))?", Stand.start),
    (r"freeze ([mar])", Stand.freeze),
    (r"thaw ([mar])", Stand.thaw),
    (r"purge ([mar])", Stand.purge),
]
