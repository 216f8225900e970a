"""One replication cluster as an operator would set it up before Regent comes: a master, a backup master that
acknowledges (semi-sync, AFTER_SYNC), replicas (GTID). And the questions that tests ask of the servers themselves.
"""
import os
import secrets
import signal

import pymysql

from scene import ROOT, Failure, binary, tail, wait_for
from servers import Server

TABLE = "shop.writes"
TABLES = """\
CREATE USER {writer}@'%' IDENTIFIED BY '{writer_password}'
CREATE DATABASE shop
CREATE TABLE shop.writes (seq BIGINT UNSIGNED PRIMARY KEY, at_us BIGINT NOT NULL, server VARCHAR(128) NOT NULL) \
ENGINE=InnoDB
GRANT SELECT, INSERT ON shop.* TO {writer}@'%'
"""


def documented_accounts(secrets_of):
    """The statements of docs/accounts.md, with passwords: what the manual says is what the tests run under.
    'secrets_of': name of an account -> its password."""
    with open(os.path.join(ROOT, "docs", "accounts.md")) as f:
        sql = " ".join(line.strip() for line in f if line.startswith("    "))
    statements = [s.strip() for s in sql.split(";") if s.strip()]
    for name, password in secrets_of.items():
        made = [s for s in statements if s.startswith(f"CREATE USER '{name}'@'%' IDENTIFIED BY '...'")]
        if len(made) != 1:
            raise Failure(f"docs/accounts.md does not create '{name}' as the tests expect")
        statements[statements.index(made[0])] = made[0].replace("'...'", f"'{password}'")
    return statements


class Cluster:
    """servers[0] is the first master, servers[1] its backup; names are db1, db2, ..."""

    def __init__(self, scene, name="shop", servers_n=4, host="127.0.0.1"):
        self.scene = scene
        self.name = name
        self.host = host
        self.secrets = {"probe": "regent", "control": "regent-control", "replication": "regent-replication",
                        "writer": "shop_writer"}
        for account in list(self.secrets):
            self.secrets[account + "_password"] = secrets.token_hex(12)
        self.servers = [Server(scene, f"db{i + 1}", i + 1, host) for i in range(servers_n)]
        self.defaults_file = self._write_defaults("my.cnf")

    @property
    def master(self):
        return self.servers[0]

    @property
    def backup(self):
        return self.servers[1]

    def server(self, name):
        return next(s for s in self.servers if s.name == name)

    def _write_defaults(self, file_name, **other):
        s = {**self.secrets, **other}
        groups = {"regent": "probe", "regent-control": "control", "regent-replication": "replication",
                  "writer": "writer"}
        text = "".join(f"[{group}]\nuser={s[account]}\npassword={s[account + '_password']}\n\n"
                       for group, account in groups.items())
        return self.scene.write(file_name, text, mode=0o600)

    def start(self, options=None):
        """Starts the servers, creates accounts and the table, and replicates. At its end the master is open, lossless.
        'options': name of a server -> options for its command line."""
        for server in self.servers:
            server.start(*(options or {}).get(server.name, ()))
        for server in self.servers:
            server.wait_ready()
        passwords = {self.secrets[a]: self.secrets[a + "_password"] for a in ("probe", "control", "replication")}
        self.master.sql(*documented_accounts(passwords), *TABLES.format(**self.secrets).splitlines())
        for server in self.servers[1:]:
            self.attach(server, self.master, acker=server is self.backup)
        for server in self.servers[1:]:
            wait_for(f"{server.name} replicates", 20, lambda s=server: self.follows(s, self.master))
        self.wait_caught_up(self.master, self.servers[1:])
        self.master.sql("SET GLOBAL rpl_semi_sync_master_enabled=1")
        wait_for("the backup acknowledges", 10,
                 lambda: self.master.status("Rpl_semi_sync_master_clients") == "1"
                 and self.master.status("Rpl_semi_sync_master_status") == "ON")
        self.master.sql("SET GLOBAL read_only=0")

    def attach(self, server, master, acker):
        """Points 'server' at 'master', as an operator (or a test's own failover) does it."""
        server.sql("STOP SLAVE", f"SET GLOBAL rpl_semi_sync_slave_enabled={int(acker)}",
                   f"CHANGE MASTER TO master_host='{master.host}', master_port={master.port},"
                   f" master_user='{self.secrets['replication']}',"
                   f" master_password='{self.secrets['replication_password']}', master_use_gtid=slave_pos,"
                   " master_ssl=0, master_heartbeat_period=0.25, master_connect_retry=1", "START SLAVE")

    def follows(self, server, master):
        slave = server.slave()
        return (bool(slave) and slave["Slave_IO_Running"] == "Yes" and slave["Slave_SQL_Running"] == "Yes"
                and int(slave["Master_Port"]) == master.port and slave["Master_Host"] == master.host)

    def wait_caught_up(self, master, servers, seconds=60):
        position = master.value("@@global.gtid_binlog_pos")
        for server in servers:  # Asked for a second at a time: the session itself has a time-out.
            wait_for(f"{server.name} reaches {position}", seconds,
                     lambda s=server: s.value(f"MASTER_GTID_WAIT('{position}', 1)") == 0)

    def file(self, durability="prefer-lossless", timeout="1s", probe="500ms", name=None, servers=None,
             defaults_file=None):
        """Writes the cluster file of Regent and returns its path. 'servers': (name, address, role) instead of ours."""
        roles = ["master", "backup"] + ["replica"] * len(self.servers)
        servers = servers or [(s.name, s.address, role) for s, role in zip(self.servers, roles)]
        lines = "".join(f"  - {{name: {n}, address: '{a}', role: {r}}}\n" for n, a, r in servers)
        return self.scene.write((name or self.name) + ".yaml", f"""\
cluster: {name or self.name}
flavour: mariadb
durability: {durability}
credentials: {{defaults_file: {defaults_file or self.defaults_file}, group: regent}}
detect: {{probe: {probe}, timeout: {timeout}}}
servers:
{lines}""")

    def wrong_defaults_file(self, account):
        """A my.cnf in which the password of one account is wrong."""
        return self._write_defaults(f"wrong-{account}.cnf", **{account + "_password": "not-the-password"})

    # What the servers say.

    def running(self):
        return [s for s in self.servers if s.is_running()]

    def writable(self):
        """Servers on which an application's account can write, tried on the running ones."""
        return [s for s in self.running() if self._accepts_writes(s)]

    def _accepts_writes(self, server):
        return wait_for(f"{server.name} says whether it takes writes", 10, lambda: self._try_to_write(server)) == "yes"

    def _try_to_write(self, server):
        """Returns "yes", "no", or None: it ended the session, as Regent lets it do for a moment, to close it."""
        try:
            return self._write_and_roll_back(server)
        except pymysql.MySQLError as e:
            if e.args[0] in (0, 1053, 1927, 2006, 2013):
                return None
            raise

    def _write_and_roll_back(self, server):
        session = server.connect(self.secrets["writer"], self.secrets["writer_password"], tcp=True)
        try:
            with session.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(f"INSERT INTO {TABLE} VALUES (0, 0, 'check')")
                cursor.execute("ROLLBACK")
            return "yes"
        except pymysql.MySQLError as e:
            if e.args[0] == 1290:
                return "no"
            raise
        finally:
            session.close()

    def check(self, master, followers=None):
        """Fails unless 'master' alone is writable and the running others follow it and have what it has."""
        writable = [s.name for s in self.writable()]
        if writable != [master.name]:
            raise Failure(f"writable: {writable or 'none'}; {master.name} alone must be")
        followers = [s for s in self.running() if s is not master] if followers is None else followers
        for server in followers:
            wait_for(lambda s=server: f"{s.name} follows {master.name}; it says {brief(s)}", 10,
                     lambda s=server: self.follows(s, master))
        self.wait_caught_up(master, followers)

    def wait_followers(self, master, followers, seconds=15):
        for server in followers:
            wait_for(lambda s=server: f"{s.name} follows {master.name}; it says {brief(s)}", seconds,
                     lambda s=server: self.follows(s, master))


def brief(server):
    slave = server.slave()
    keys = ["Master_Port", "Slave_IO_Running", "Slave_SQL_Running", "Last_IO_Error", "Last_SQL_Error", "Gtid_IO_Pos"]
    return {k: slave.get(k) for k in keys} if slave else "no replica"


class Writer:
    """The writer (tests/tools/writer.c) at work on a cluster, and its record."""

    def __init__(self, cluster, name="writer", period_ms=10):
        self.scene = cluster.scene
        self.record = self.scene.path(name + ".record")
        servers = ",".join(s.address for s in cluster.servers)
        self.process = self.scene.spawn(name, [
            binary("tests/tools/writer"), "--servers", servers, "--defaults-file", cluster.defaults_file,
            "--group", "writer", "--record", self.record, "--table", TABLE, "--period-ms", str(period_ms)])

    def acknowledged_n(self):
        if self.process.poll() is not None:
            raise Failure("the writer ended:\n" + tail(self.scene.log_path(self.process.name)))
        return count_acknowledged(self.record)

    def stop(self):
        """Ends the writer; the record is then complete. Harmless when it has ended so before."""
        code = self.scene.end(self.process, signal.SIGTERM)
        if code != 0:
            raise Failure(f"the writer ended with {code}:\n" + tail(self.scene.log_path(self.process.name)))


def count_acknowledged(path):
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as f:
        return f.read().count(b" ack\n")
