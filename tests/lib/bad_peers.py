"""Callers that a manager must refuse: one row each, with what its log must say.

A row connects to a manager, misbehaves, and waits for the end of the connection; run() tells how long that took from
the beginning, and from which port it came. As a program (for load while something is measured):

    bad_peers.py PKI_DIR ADDRESS...        all rows at these addresses, again and again, until stdin is closed
"""
import concurrent.futures
import functools
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pki  # noqa: E402
import talk  # noqa: E402
from scene import Failure  # noqa: E402

PATIENCE_S = 20
PAUSE_S = 0.5  # A bad peer comes back twice a second.
HELLO_PAUSE_S, FRAME_PAUSE_S = 0.1, 0.4  # The deadline must end it, not the last byte.
_HANDSHAKE = struct.Struct("<QQQH")


class Refused:
    """How a row ended."""

    def __init__(self, port, seconds, is_ended):
        self.port, self.seconds, self.is_ended = port, seconds, is_ended


def raft_handshake(number, wanted, group, address=b"127.0.0.1:9"):
    """The first bytes of a Raft connection (raft/transport.h)."""
    return _HANDSHAKE.pack(number, wanted, group, len(address)) + address


def dial(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S)


def wait_end(stream):
    """Reads until the other side ends the connection. False: it did not."""
    try:
        while stream.recv(4096):
            pass
        return True
    except (TimeoutError, socket.timeout):
        return False
    except OSError:  # A reset, or an alert of TLS.
        return True


# One that comes again and again has read its files once.
_context = functools.cache(pki.context)


def shake(plain, files, alpn, version=ssl.TLSVersion.TLSv1_3):
    return _context(files, alpn, version).wrap_socket(plain, do_handshake_on_connect=True)


def hello_bytes():
    """A real ClientHello."""
    out = ssl.MemoryBIO()
    tls = pki.context(None, pki.RAFT).wrap_bio(ssl.MemoryBIO(), out)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def drip(stream, data, pause_s):
    """One byte after the other, as slowly as one who wants to hold a place."""
    for byte in data:
        stream.sendall(bytes([byte]))
        time.sleep(pause_s)


class BadPeers:
    """The rows, with certificates that are made at the beginning, by 'ca', whom the managers trust, and by 'other'. Who
    steals the place of a member steals that of m2 (id 2)."""

    def __init__(self, ca, other):
        self.expired = ca.odd("expired", "manager", "m2", 2, -7200, -60)
        self.future = ca.odd("future", "manager", "m2", 2, 3600, 7200)
        self.other_id = ca.odd("other_id", "manager", "m2", 9, -300, 7200)
        self.member = ca.odd("member", "manager", "m2", 2, -300, 7200)
        self.agent = ca.odd("bad_agent", "agent", "db1", 0, -300, 7200)
        self.operator = ca.odd("bad_operator", "operator", "eve", 0, -300, 7200)
        self.other_ca = other.odd("stranger", "manager", "m2", 2, -300, 7200)
        self.revoked = ca.issue("operator", "mallory")
        ca.revoke("mallory")
        self._begin()

    def _begin(self):
        self.ids = {}  # Raft id of the manager at each port; 1 where nothing is said.
        self.began = {}  # Of a thread's row: when it began to misbehave.
        self.hello = hello_bytes()
        self._list_rows()

    @classmethod
    def load(cls, directory):
        """The same from files that another process made."""
        self = cls.__new__(cls)
        for name, file in (("expired", "expired"), ("future", "future"), ("other_id", "other_id"),
                           ("member", "member"), ("agent", "bad_agent"), ("operator", "bad_operator"),
                           ("revoked", "mallory")):
            setattr(self, name, (os.path.join(directory, file + ".crt"), os.path.join(directory, file + ".key")))
        other = os.path.join(os.path.dirname(directory), "other", "stranger")
        self.other_ca = (other + ".crt", other + ".key")
        self._begin()
        return self

    def _list_rows(self):
        """name: (what it does, what the log says of it)"""
        raft = lambda files, **more: lambda s: shake(s, files, pki.RAFT, **more)
        self.rows = {
            "no certificate": (raft(None), "showed no certificate"),
            "another CA": (raft(self.other_ca), "of another CA than ours"),
            "expired": (raft(self.expired), "expired on"),
            "not yet valid": (raft(self.future), "not yet valid"),
            "revoked": (lambda s: shake(s, self.revoked, pki.CLIENT), "was revoked"),
            "another id": (self._other_id, "its certificate is of another"),
            "an agent at Raft": (raft(self.agent), "wrong role: agent db1 asked for protocol regent-raft/1"),
            "an operator at Raft": (raft(self.operator), "wrong role: operator eve asked for protocol regent-raft/1"),
            "an operator among managers": (lambda s: shake(s, self.operator, pki.PEER), "wrong role: operator eve"),
            "TLS 1.2": (raft(self.member, version=ssl.TLSVersion.TLSv1_2), "does not speak TLS 1.3"),
            "no protocol": (lambda s: shake(s, self.member, None), "named no protocol"),
            "an unknown protocol": (lambda s: shake(s, self.member, "h2"), "no protocol that we know"),
            "plaintext": (self._plaintext, "does not speak TLS"),
            "an HTTP request": (lambda s: s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP request"),
            "half a handshake": (lambda s: s.sendall(self.hello[:len(self.hello) // 2]), "in time|handshake|deadline"),
            "silence": (lambda s: None, "in time|handshake|deadline"),
            "slow bytes": (lambda s: drip(s, self.hello, HELLO_PAUSE_S), "in time|handshake|deadline"),
            "a slow frame": (self._slow_frame, "too slow"),
            "4 GB of a client": (self._huge_frame, "longer than allowed"),
            "4 GB of a manager": (self._huge_peer_frame, "longer than allowed"),
            "another group": (self._other_group, "belongs to another group"),
            "another wanted id": (self._other_wanted, "wants member 77"),
            "a long handshake": (lambda s: self._greet(s, b"x" * 4096), "its handshake is longer than allowed"),
            "a handshake and more": (lambda s: self._greet(s, raft_handshake(2, 1, 1) + b"x"),
                                     "it sends before its handshake was answered"),
            "no address": (lambda s: self._greet(s, raft_handshake(2, 1, 1, b"")), "the address in its handshake"),
            "a huge address": (lambda s: self._greet(s, _HANDSHAKE.pack(2, 1, 1, 0xFFFF)),
                               "the address in its handshake"),
        }

    def _other_id(self, plain):
        tls = shake(plain, self.other_id, pki.RAFT)
        tls.sendall(raft_handshake(2, 1, 1))
        return tls

    def _greet(self, plain, words):
        tls = shake(plain, self.member, pki.RAFT)
        tls.sendall(words)
        return tls

    def _other_group(self, plain):
        tls = shake(plain, self.member, pki.RAFT)
        tls.sendall(raft_handshake(2, self.ids.get(tls.getpeername()[1], 1), 0x1122334455667788))
        return tls

    def _other_wanted(self, plain):
        tls = shake(plain, self.member, pki.RAFT)
        tls.sendall(raft_handshake(2, 77, 1))
        return tls

    @staticmethod
    def _plaintext(plain):
        plain.sendall(talk.preamble(1) + raft_handshake(2, 1, 1))

    def _huge_frame(self, plain):
        tls = shake(plain, self.operator, pki.CLIENT)
        tls.sendall(talk.frame_header(0xFFFFFFFF) + b"x" * 64)
        return tls

    def _huge_peer_frame(self, plain):
        tls = shake(plain, self.member, pki.PEER)
        tls.sendall(talk.frame_header(0xFFFFFFFF) + b"x" * 64)
        return tls

    def _slow_frame(self, plain):
        tls = shake(plain, self.operator, pki.CLIENT)
        self.began[threading.get_ident()] = time.monotonic()  # Until here it did nothing wrong.
        drip(tls, talk.frame_header(200), FRAME_PAUSE_S)
        return tls

    def run(self, name, address):
        self.began[threading.get_ident()] = time.monotonic()
        plain = dial(address)
        port = plain.getsockname()[1]
        stream = plain
        try:
            stream = self.rows[name][0](plain) or plain
            is_ended = wait_end(stream)
        except (TimeoutError, socket.timeout):
            is_ended = False
        except OSError:  # Refused before it was through with it.
            is_ended = True
        took = time.monotonic() - self.began[threading.get_ident()]
        for s in (stream, plain):
            try:
                s.close()
            except OSError:
                pass
        return Refused(port, took, is_ended)


def _load(peers, addresses, end):
    """One thread a row, each coming back as a real peer would. Returns how often one was refused."""

    def again(name):
        pause = random.Random(name)
        refused_n = 0
        while not end.is_set():
            try:
                refused_n += peers.run(name, pause.choice(addresses)).is_ended
            except OSError:
                pass
            end.wait(PAUSE_S * (0.5 + pause.random()))
        return refused_n

    with concurrent.futures.ThreadPoolExecutor(len(peers.rows)) as pool:
        return sum(pool.map(again, peers.rows))


def main():
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    print("ready", flush=True)
    print(_load(BadPeers.load(sys.argv[1]), sys.argv[2:], end), flush=True)


class Load:
    """This program, running beside the caller; on its CPUs, or on 'cpus'."""

    def __init__(self, ca, addresses, cpus=None):
        self.child = subprocess.Popen([sys.executable, __file__, ca.dir, *addresses], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        if cpus is not None:
            os.sched_setaffinity(self.child.pid, cpus)  # Its threads come later, and inherit it.
        if self.child.stdout.readline() != "ready\n":
            raise Failure("bad_peers.py did not start")

    def stop(self):
        """Returns how many connections were refused."""
        self.child.stdin.close()
        said = self.child.stdout.read()
        if self.child.wait(PATIENCE_S + 10) != 0:
            raise Failure(f"bad_peers.py ended with {self.child.returncode}")
        return int(said)


if __name__ == "__main__":
    main()
