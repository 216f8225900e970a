"""The managers' logs on disk, as real processes leave them: killed at any moment, they start again on what they have,
their states stay equal (digests go through the log), and `regent log` agrees. A shorter log is refused."""
import json
import os
import re
import subprocess

from managers import Group
from scene import Failure, binary, tail


def regent_log(*arguments):
    done = subprocess.run([binary("regent"), *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def commit(scene, group, name, commands):
    """Starts clients that commit events."""
    until = scene.path("enough")
    with open(until, "w"):
        pass
    return scene.spawn(name, [
        os.path.join(os.path.dirname(binary("regent")), "tests", "once"),
        "--connect", ",".join(m.address for m in group.managers), "--tls-dir", group.pki.tls_dir(), "--clients", "4",
        "--commands", str(commands), "--seconds", "60", "--until", until, "--out", scene.path(name + ".told")])


def finish(scene, child):
    if child.wait(90) != 0:
        raise Failure("the clients failed:\n" + tail(scene.log_path(child.name)))
    scene.end(child)


def shorten(data_dir):
    """Takes the last closed segment away, as if the disk had lost it."""
    raft = os.path.join(data_dir, "raft")
    last = sorted(n for n in os.listdir(raft) if re.match(r"\d+-\d+$", n))[-1]
    os.rename(os.path.join(raft, last), os.path.join(data_dir, "lost"))
    return os.path.join(raft, last)


def test_other_directories_are_left_alone(scene):
    """A file 'lock' is not a manager's because of its name."""
    other = scene.path("other")
    os.mkdir(other)
    with open(os.path.join(other, "lock"), "w", encoding="utf-8") as lock:
        lock.write("precious")
    for words in (["log", "dump", other], ["log", "check", other], ["recover", "--survivor", "--data-dir", other],
                  ["log", "dump", scene.path("nothing")]):
        code, out, err = regent_log(*words)
        assert code == 1 and "no data directory of a manager" in err, out + err
    assert os.listdir(other) == ["lock"]
    with open(os.path.join(other, "lock"), encoding="utf-8") as lock:
        assert lock.read() == "precious"


def test_logs_of_killed_managers_agree(scene):
    group = Group(scene)
    group.start()
    for i, victim in enumerate(group.managers):
        child = commit(scene, group, f"load{i}", 800)
        scene.end(victim.process)  # SIGKILL, in the middle.
        victim.start()
        finish(scene, child)
        group.wait_leader(30)
    group.stop()

    code, out, err = regent_log("log", "check", *(m.data_dir for m in group.managers))
    print(out)
    assert code == 0, out + err
    match = re.search(r"^logs agree: (\d+) entries, digest [0-9a-f]{64}\n\Z", out, re.M)
    assert match and int(match[1]) > 1000, out

    code, out, err = regent_log("--json", "log", "dump", group.managers[0].data_dir)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    digests = [x["fields"]["index"] for x in lines if x.get("kind") == "digest"]
    assert lines[0]["type"] == "snapshot" and lines[-1]["type"] == "node"
    assert digests and all(i % 1024 == 0 for i in digests), digests

    victim = group.managers[1]
    lost = shorten(victim.data_dir)
    code, said = victim.run()
    assert code != 0 and "under a new id" in said and "acknowledged entry" in said, said
    os.rename(os.path.join(victim.data_dir, "lost"), lost)
    for manager in group.managers:
        manager.start()
    group.wait_leader(30)
    group.stop()
