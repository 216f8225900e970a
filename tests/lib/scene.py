"""A scene: one directory, the processes that live in it, and nothing of either when it is closed.

Every test, bench and demo runs in a scene. Processes are started with a parent-death signal, in sessions of their own,
and ended by their ids. The directory is under /var/tmp (REGENT_TEST_DIR changes that), because /tmp may be a tmpfs,
where the servers' fsync would cost nothing and the figures would be worth nothing.
"""
import ctypes
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_random = random.Random(os.urandom(16))

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Interrupted(BaseException):
    """A signal asked us to end; not an Exception, so that nothing swallows it."""

    def __init__(self, number):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class Failure(Exception):
    """The scene did not go as it must; the text is for people."""


def install_signal_handlers():
    """SIGINT, SIGTERM and SIGHUP unwind the program, so that every scene closes."""

    def handler(number, _frame):
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def build_dir():
    """Where the binaries under test are: REGENT_BUILD, else build/ of the checkout."""
    return os.environ.get("REGENT_BUILD") or os.path.join(ROOT, "build")


def binary(name):
    path = os.path.join(build_dir(), name)
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is missing: build first (make), or say where it is with REGENT_BUILD")
    return path


def wait_for(what, seconds, condition, pause=0.02):
    """Polls until condition() is true and returns its value; fails with 'what' after 'seconds'.

    'what' may be a function: it is asked when the wait has failed, for what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(pause)


def tail(path, lines=15):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError:
        return ""


class Ports:
    """Free TCP ports, outside the range from which the kernel takes ports for outgoing connections, so that a server
    that is down finds its port free again. A port is reserved among scenes by an abstract socket, which leaves nothing
    behind."""

    def __init__(self):
        self._locks = []

    def take(self):
        for _ in range(1000):
            port = _random.randrange(15000, 32000)
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0regent-test-port-{port}")
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                    s.bind(("0.0.0.0", port))
            except OSError as e:
                lock.close()
                if e.errno != errno.EADDRINUSE:
                    raise
                continue
            self._locks.append(lock)
            return port
        raise Failure("no free port found")

    def close(self):
        for lock in self._locks:
            lock.close()
        self._locks = []


class Scene:
    def __init__(self, name, directory=None):
        base = os.environ.get("REGENT_TEST_DIR") or "/var/tmp"
        if directory:
            os.makedirs(directory, mode=0o755)
            self.dir = os.path.abspath(directory)
        else:
            self.dir = tempfile.mkdtemp(prefix=f"regent-{name}-", dir=base)
        self.ports = Ports()
        self.children = []
        self._at_close = []
        os.mkdir(self.path("log"))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def log_path(self, name):
        return self.path("log", name + ".log")

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        return path

    def spawn(self, name, argv, env=None, netns=None, stdout=None):
        """Starts a process; its output goes to log/NAME.log. 'netns': an open fd of a network namespace to
        enter."""
        parent = os.getpid()

        def prepare():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)
            if netns is not None and _libc.setns(netns, _CLONE_NEWNET) != 0:
                os._exit(126)

        with open(self.log_path(name), "ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                                     start_new_session=True, preexec_fn=prepare, cwd=self.dir,
                                     env={**os.environ, **(env or {})})
        child.name = name
        self.children.append(child)
        return child

    def at_close(self, function):
        """'function' runs when the scene closes, after the processes have ended, last one first."""
        self._at_close.append(function)

    def end(self, child, number=signal.SIGKILL, seconds=10):
        """Ends one process by its id and waits for it. Returns its exit code."""
        if child.poll() is None:
            signal_group(child, signal.SIGCONT)
            signal_group(child, number)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                signal_group(child, signal.SIGKILL)
                child.wait()
        if child in self.children:
            self.children.remove(child)
        return child.returncode

    def close(self, keep_files=False):
        old = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            for child in self.children:
                if child.poll() is None:
                    signal_group(child, signal.SIGKILL)
            for child in self.children:
                child.wait()
            self.children = []
            for function in reversed(self._at_close):
                function()
            self.ports.close()
            if not keep_files:
                shutil.rmtree(self.dir, ignore_errors=True)
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _trace):
        keep = kind is not None and os.environ.get("REGENT_TEST_KEEP_FILES") == "1"
        if keep:
            print(f"files kept in {self.dir}", file=sys.stderr)
        self.close(keep_files=keep)
        return False


def signal_group(child, number):
    """Signals the process group that spawn() made for the child; the child itself is its leader."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass
