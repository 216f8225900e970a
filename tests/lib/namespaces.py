"""Network namespaces for tests that cut one manager off.

The program moves into a network namespace of its own (World) and everything that it starts lives there. A Cell is a
second namespace, tied to the world by a veth pair. Neither has a name: both are gone when the last process in them is,
also when the program was killed, and the machine's own network never changes.

Regent without TLS accepts loopback addresses only, so the wire carries addresses of 127/8: route_localnet allows that,
and a more specific route in the local table leads to the other end.
"""
import ctypes
import os
import subprocess

from scene import Failure

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
WORLD_ADDRESS = "127.77.0.1"
CELL_ADDRESS = "127.77.0.2"


def _run(argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Failure(f"{' '.join(argv)}: {done.stderr.strip()}")


def _unshare():
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise Failure(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def enter(fd):
    """Moves the calling process into the namespace behind 'fd'."""
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def missing():
    """Why namespaces cannot be used here, or None."""
    done = subprocess.run(["unshare", "--net", "sh", "-c",
                           "ip link set lo up && ip link add rg0 type veth peer name rg1 && nft list tables"],
                          capture_output=True, text=True)
    return None if done.returncode == 0 else f"network namespaces cannot be made here: {done.stderr.strip()}"


class World:
    """The program's own namespace, from __enter__ to __exit__."""

    def __enter__(self):
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _unshare()
        try:
            _run(["ip", "link", "set", "lo", "up"])
            with open("/proc/sys/net/ipv4/conf/all/route_localnet", "w") as f:
                f.write("1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        _libc.setns(self._home, _CLONE_NEWNET)
        os.close(self._home)

    def cell(self):
        return Cell()


class Cell:
    """A namespace with one address (CELL_ADDRESS), which reaches WORLD_ADDRESS. 'fd' is what Scene.spawn() enters."""

    def __init__(self):
        world = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _unshare()
            self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _libc.setns(world, _CLONE_NEWNET)
            os.close(world)
        path = f"/proc/{os.getpid()}/fd/{self.fd}"
        _run(["ip", "link", "add", "cell0", "type", "veth", "peer", "name", "world0", "netns", path])
        self._wire("cell0", WORLD_ADDRESS, CELL_ADDRESS)
        self._wire("world0", CELL_ADDRESS, WORLD_ADDRESS, inside=True)

    def run(self, *argv, stdin=None):
        """Runs a command inside."""
        _run(["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.fd}", *argv], input=stdin)

    def _wire(self, device, own, other, inside=False):
        run = self.run if inside else (lambda *argv: _run(list(argv)))
        if inside:
            run("ip", "link", "set", "lo", "up")
            run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
        run("ip", "address", "add", own + "/32", "dev", device)
        run("ip", "link", "set", device, "up")
        run("ip", "route", "add", "table", "local", "unicast", other + "/32", "dev", device, "scope", "link",
            "src", own)

    def cut(self, port):
        """Drops all packets between the inside and one port of the world, as a cable or a firewall would."""
        self.run("nft", "-f", "-", stdin=f"""\
table inet regent_test {{
    chain out {{ type filter hook output priority 0; tcp dport {port} drop; }}
    chain in {{ type filter hook input priority 0; tcp sport {port} drop; }}
}}
""")

    def heal(self):
        self.run("nft", "delete", "table", "inet", "regent_test")

    def close(self):
        os.close(self.fd)
