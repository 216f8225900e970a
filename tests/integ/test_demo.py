"""The demo leaves no process and no file: at its end, after demo-stop, after Ctrl-C."""
import os
import re
import signal
import subprocess
import sys

from scene import ROOT, binary, wait_for

DEMO = os.path.join(ROOT, "tests", "demo.py")


def start(directory, **env):
    return subprocess.Popen(["/usr/bin/python3", DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, "DEMO_DIR": directory, "DEMO_ROWS": "150", **env})


def processes_of(directory):
    """Processes whose command line or working directory is of the demo."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                command = f.read().replace(b"\0", b" ").decode(errors="replace")
            if directory in command or os.readlink(f"/proc/{pid}/cwd").startswith(directory):
                found.append(f"{pid} {command}")
        except OSError:
            pass
    return found


def assert_nothing_left(directory):
    assert not os.path.exists(directory)
    assert processes_of(directory) == []


def test_demo_kept_and_stopped(tmp_path):
    directory = str(tmp_path / "demo")
    demo = start(directory, KEEP="1")
    output, _ = demo.communicate(timeout=120)
    try:
        assert demo.returncode == 0, output
        assert re.search(r"^outage: \d+ ms\nacknowledged: \d+ rows, lost: 0$", output, re.M), output
        with open(os.path.join(directory, "env")) as f:
            env = dict(line.strip().split("=", 1) for line in f)
        regent = subprocess.run([binary("regent"), "--json", "status"],
                                capture_output=True, text=True, env={**os.environ, **env})
        assert regent.returncode == 0, regent.stderr
        assert len(processes_of(directory)) >= 3 + 3
    finally:
        stop = subprocess.run([sys.executable, DEMO, "--stop", directory], capture_output=True, text=True)
    assert stop.returncode == 0, stop.stderr
    assert_nothing_left(directory)
    again = subprocess.run([sys.executable, DEMO, "--stop", directory], capture_output=True, text=True)
    assert again.returncode == 1 and directory in again.stderr


def test_demo_interrupted(tmp_path):
    directory = str(tmp_path / "demo")
    demo = start(directory)
    wait_for("the demo's writer runs", 60,
             lambda: os.path.exists(os.path.join(directory, "writer.record")) or demo.poll() is not None)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, output
    assert_nothing_left(directory)


def test_demo_wrong_fault(tmp_path):
    demo = start(str(tmp_path / "demo"), DEMO_FAULT="flood")
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 2
    assert "leader+kill" in output
