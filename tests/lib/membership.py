"""Members that come and go: tokens, joins, and a load of commands that knows what was acknowledged."""
import json
import os
import subprocess
import threading
import time

from managers import Manager
from scene import Failure, binary, tail, wait_for


def new_manager(group, name):
    """A manager with a configuration that knows no group, not started."""
    manager = Manager(group, name)
    group.managers.append(manager)
    keys = {"node": name, "listen": manager.address, "data_dir": manager.data_dir, "socket": manager.socket,
            **manager.security()}
    manager.scene.write(name + ".yaml", "".join(f"{key}: {value}\n" for key, value in keys.items()))
    return manager


def certify(group, name, number):
    """A certificate with the id of the token; one with another id is revoked."""
    if not group.pki or group.pki.id_of(name) == number:
        return
    if group.pki.id_of(name) is not None:
        group.pki.revoke(name)
    group.pki.issue("manager", name, "--id", str(number))


def create_token(group, name, *options):
    """Runs `regent token create`; returns (path of the token file, what --json says)."""
    _, out, _ = group.regent("--json", "token", "create", name, *options)
    answer = json.loads(out)
    certify(group, name, answer["id"])
    return write_token(group, name, answer["token"]), answer


def write_token(group, name, token):
    path = group.scene.path(name + ".token")
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(token + "\n")
    return path


def join(manager, token_path, *options, address=None):
    """Starts regentd --join; it goes on running."""
    address = address or manager.group.running()[0].address
    manager.process = manager.scene.spawn(
        manager.name, [binary("regentd"), "--config", manager.config, "--join", address, "--token-file", token_path,
                       *options], env=manager.group.environment(), netns=manager.netns)


def join_fails(manager, token_path, *options, address=None, seconds=30):
    """Runs regentd --join until it ends by itself; returns its exit code and output."""
    address = address or manager.group.running()[0].address
    return manager.run("--join", address, "--token-file", token_path, *options, seconds=seconds)


def members(group, seconds=20):
    """name -> row of `regent --json member list`, once there is a leader who tells it."""
    def look():
        for manager in group.running():
            try:
                code, out, _ = group.regent("--json", "member", "list", manager=manager, check=False, seconds=10)
            except subprocess.TimeoutExpired:
                continue
            if code == 0:
                return {m["name"]: m for m in json.loads(out)["members"]}
        return None

    return wait_for("a leader lists the members", seconds, look, 0.1)


def wait_role(group, name, role, seconds=20):
    seen = [None]

    def look():
        seen[0] = members(group)
        row = seen[0].get(name)
        return (row["role"] if row else "gone") == role

    wait_for(lambda: f"{name} is {role}; last: {json.dumps(seen[0])}\n{tail(group.scene.log_path(name), 10)}", seconds,
             look, 0.1)


def add_member(group, name, role="voter"):
    """The whole way of a new manager."""
    manager = new_manager(group, name)
    path, _ = create_token(group, name)
    join(manager, path, *([] if role == "voter" else ["--standby"]))
    wait_role(group, name, role)
    return manager


def forget(group, manager):
    """Ends a removed manager's process and takes it off the list."""
    if manager.is_running():
        manager.scene.end(manager.process)
    group.managers.remove(manager)


class Load:
    """`regent note` again and again, at any manager. Knows which notes were acknowledged."""

    def __init__(self, group):
        self._group = group
        self._stop = threading.Event()
        self.acknowledged = []
        self.unknown = []
        self.failed = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        n = 0
        while not self._stop.is_set():
            n += 1
            text = f"load-{n}"
            addresses = ",".join(m.address for m in self._group.running())
            done = subprocess.run([binary("regent"), "--connect", addresses, "note", text], capture_output=True,
                                  text=True, env={**os.environ, **self._group.environment()}, check=False)
            if done.returncode == 0:
                self.acknowledged.append(text)
            elif done.returncode == 4:
                self.unknown.append(text)
            else:
                self.failed.append(f"{text}: exit {done.returncode}: {done.stderr.strip()}")

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        if self._thread.is_alive():
            raise Failure("the load does not stop")
        if not self.acknowledged:
            raise Failure(f"nothing was acknowledged: {self.failed[:3]}")

    def check(self, group):
        """Every member, asked as leader, has every acknowledged note exactly once, and all have the same events."""
        first = None
        for manager in list(group.running()):
            lead(group, manager)
            _, out, _ = group.regent("--json", "events", manager=manager)
            events = [json.loads(line) for line in out.splitlines() if line.strip()]
            notes = [e["text"] for e in events if e["kind"] == "note"]
            missing = [text for text in self.acknowledged if notes.count(text) != 1]
            if missing:
                raise Failure(f"{manager.name} has these acknowledged notes not exactly once: {missing}")
            mine = [e for e in events if e["kind"] == "note" or e["kind"].startswith("member.")]
            first = first or mine
            if mine != first:
                raise Failure(f"{manager.name} has other events than the first member")


def lead(group, manager, seconds=20):
    """Makes 'manager' the leader, by `regent member transfer`."""
    deadline = time.monotonic() + seconds
    while True:
        code, _, err = group.regent("member", "transfer", manager.name, check=False)
        if code == 0:
            return
        if time.monotonic() > deadline:
            raise Failure(f"{manager.name} does not become leader: exit {code}: {err}")
        time.sleep(0.1)
