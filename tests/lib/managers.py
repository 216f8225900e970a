"""A group of regentd processes and the questions that tests ask them through `regent`.

They talk over mutual TLS, with certificates of a CA in the scene (group.pki). REGENT_TEST_PLAINTEXT=1, or
Group(tls=False): in the clear.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from pki import Pki
from scene import Failure, binary, tail, wait_for

# What a sanitizer finds ends the process at once, so that the test sees it; leaks are looked for at a clean exit.
_SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


made_pki = None  # A path where many scenes find the certificates of a group; the first one puts them there.


def pki_of(scene):
    """The CA of the scene."""
    if getattr(scene, "pki", None) is None:
        made = made_pki if made_pki and os.path.isdir(made_pki) else None
        scene.pki = Pki(scene, made=made)
        if not made:
            scene.pki.issue_group()
        if made_pki and not made:
            shutil.copytree(scene.pki.dir, made_pki)
    return scene.pki


class Manager:
    def __init__(self, group, name, host="127.0.0.1", netns=None):
        self.group = group
        self.scene = group.scene
        self.name = name
        self.netns = netns
        self.port = self.scene.ports.take()
        self.address = f"{host}:{self.port}"
        self.data_dir = self.scene.path(name)
        self.socket = self.scene.path(name + ".sock")
        self.process = None
        self.program = "regentd"  # In the build directory.
        self.config = self.scene.path(name + ".yaml")

    def security(self):
        """Keys of regentd.yaml."""
        return {"tls": self.group.pki.tls(self.name)} if self.group.pki else {"insecure_loopback": "true"}

    def write_config(self, **other):
        keys = {"node": self.name, "listen": self.address, "data_dir": self.data_dir, "socket": self.socket,
                **self.security(), **other}
        members = ", ".join(f"{{name: {m.name}, address: '{m.address}'}}" for m in self.group.managers)
        text = "".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None)
        self.scene.write(self.name + ".yaml", text + f"group: [{members}]\n")

    def bootstrap(self):
        code, output = self.run("--bootstrap")
        if code != 0:
            raise Failure(f"regentd --bootstrap of {self.name} ended with {code}:\n{output}")

    def run(self, *options, seconds=15):
        """Runs regentd until it ends by itself; returns exit code and output. Fails when it keeps running."""
        child = self.scene.spawn(self.name + "-once", [binary(self.program), *options, "--config", self.config],
                                 env=_SANITIZERS, netns=self.netns)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.scene.end(child)
            raise Failure(f"regentd {' '.join(options)} of {self.name} did not end within {seconds} s:\n"
                          + tail(self.scene.log_path(child.name)))
        self.scene.end(child)
        path = self.scene.log_path(child.name)
        output = tail(path, 1000)
        os.unlink(path)
        return child.returncode, output

    def start(self):
        self.process = self.scene.spawn(self.name, [binary(self.program), "--config", self.config], env=_SANITIZERS,
                                        netns=self.netns)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL, and no wait."""
        os.kill(self.process.pid, signal.SIGKILL)

    def stop(self, seconds=10):
        return self.scene.end(self.process, signal.SIGTERM, seconds)

    def log(self):
        return tail(self.scene.log_path(self.name), 30)

    def lines(self, pattern, since=0):
        """All lines of its log in which the pattern is found, but for the first 'since' bytes of it (log_size())."""
        with open(self.scene.log_path(self.name), errors="replace") as f:
            f.seek(since)
            return [line for line in f if re.search(pattern, line)]

    def log_size(self):
        return os.path.getsize(self.scene.log_path(self.name))


class Group:
    """Three managers on loopback. 'cells': index -> (host, netns fd) of managers that live in another namespace."""

    def __init__(self, scene, host="127.0.0.1", cells=None, managers_n=3, tls=None):
        self.scene = scene
        if tls is None:
            tls = os.environ.get("REGENT_TEST_PLAINTEXT") != "1"
        self.pki = pki_of(scene) if tls else None
        self.managers = []
        for i in range(managers_n):
            place = (cells or {}).get(i, (host, None))
            self.managers.append(Manager(self, f"m{i + 1}", *place))
            if tls and not self.pki.has(f"m{i + 1}"):
                self.pki.issue("manager", f"m{i + 1}", "--id", str(i + 1))
        for manager in self.managers:
            manager.write_config()

    def start(self):
        for manager in self.managers:
            manager.bootstrap()
        for manager in self.managers:
            manager.start()
        return self.wait_leader()

    def manager(self, name):
        return next(m for m in self.managers if m.name == name)

    def running(self):
        return [m for m in self.managers if m.is_running()]

    def environment(self):
        """What `regent` needs to talk to this group."""
        return {**_SANITIZERS, **({"REGENT_TLS_DIR": self.pki.tls_dir()} if self.pki else {})}

    def regent(self, *arguments, manager=None, seconds=15, check=True):
        """Runs `regent` against a manager (any running one). Returns (exit code, stdout, stderr); with 'check' a code
        other than 0 fails."""
        others = [m for m in self.running() if m.netns is None] if manager is None else []
        manager = manager or self.running()[0]
        addresses = ",".join([manager.address, *(m.address for m in others if m is not manager)])
        done = subprocess.run([binary("regent"), "--connect", addresses, *arguments], capture_output=True,
                              text=True, timeout=seconds, env={**os.environ, **self.environment()},
                              preexec_fn=_enter(manager.netns))
        if check and done.returncode != 0:
            raise Failure(f"regent {' '.join(arguments)} at {manager.name}: exit {done.returncode}\n"
                          f"{done.stdout}{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def status(self, manager=None):
        """`regent --json status` as a dict, or None when no manager answers with one."""
        for m in [manager] if manager else self.running():
            try:
                code, out, _ = self.regent("--json", "status", manager=m, check=False, seconds=5)
                if code == 0:
                    return json.loads(out)
            except (subprocess.TimeoutExpired, ValueError):
                pass
        return None

    def cluster_status(self, name="shop"):
        status = self.status()
        return next((c for c in status["clusters"] if c["name"] == name), None) if status else None

    def status_now(self, name="shop", seconds=15):
        """The same, once somebody tells it: nobody does while a leader is being elected."""
        return wait_for("a manager tells the status", seconds, lambda: self.cluster_status(name), 0.05)

    def leader(self):
        """The manager that leads, or None."""
        status = self.status()
        return next((m for m in self.running() if status and m.name == status["leader"]), None)

    def wait_leader(self, seconds=15):
        def why():
            dead = [m for m in self.managers if m.process is not None and not m.is_running()]
            return "the managers elect a leader" + "".join(f"\n{m.name} ended:\n{m.log()}" for m in dead)

        return wait_for(why, seconds, self.leader, 0.05)

    def add_cluster(self, path):
        self.regent("cluster", "add", path)

    def wait_cluster(self, condition, what, seconds=20, name="shop"):
        """Polls the cluster's status until condition(status) is true; returns that status."""
        seen = [None]

        def look():
            seen[0] = self.cluster_status(name)
            return seen[0] is not None and condition(seen[0])

        wait_for(lambda: f"{what}; last status: {json.dumps(seen[0])}", seconds, look, 0.05)
        return seen[0]

    def wait_ok(self, master, seconds=20, name="shop"):
        return self.wait_cluster(lambda c: c["state"] == "ok" and c["master"] == master and not c["plan"],
                                 f"cluster {name} is ok under {master}", seconds, name)

    def events(self):
        _, out, _ = self.regent("--json", "events")
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def stop(self):
        """Ends all by SIGTERM; fails when one does not end cleanly (a leak or a crash shows here)."""
        codes = {m.name: m.stop() for m in self.managers if m.is_running()}
        bad = {name: code for name, code in codes.items() if code != 0}
        if bad:
            raise Failure(f"regentd after SIGTERM: exit codes {bad}\n"
                          + "".join(self.manager(name).log() for name in bad))


def _enter(netns):
    if netns is None:
        return None
    from namespaces import enter
    return lambda: enter(netns)


class Follow:
    """`regent --json events --follow`, started again at another manager when the one that it asks ends. take() returns
    the events that came since the last call, each once."""

    def __init__(self, group, prefer=None):
        self.group = group
        self.scene = group.scene
        self._runs = 0
        self._seen = set()
        self._child = None
        self._offset = 0
        self._start(prefer or group.running()[-1])

    def _start(self, manager):
        self._runs += 1
        self._path = self.scene.path("log", f"events-{self._runs}.out")
        self._offset = 0
        self._manager = manager
        with open(self._path, "wb") as out:
            self._child = self.scene.spawn("events", [binary("regent"), "--connect", manager.address, "--json",
                                                      "events", "--follow"], stdout=out,
                                           env=self.group.environment(), netns=manager.netns)
        self._started = time.monotonic()

    def take(self):
        events = []
        with open(self._path) as f:
            f.seek(self._offset)
            while True:
                line = f.readline()
                if not line.endswith("\n"):
                    break
                self._offset = f.tell()
                event = json.loads(line)
                key = (event["index"], event["kind"], event["text"])
                if key not in self._seen:
                    self._seen.add(key)
                    events.append(event)
        if not events and self._child.poll() is not None and time.monotonic() > self._started + 0.1:
            others = [m for m in self.group.running() if m is not self._manager] or self.group.running()
            if others:
                self.scene.end(self._child)
                self._start(others[self._runs % len(others)])
        return events

    def stop(self):
        self.scene.end(self._child)
