"""A CA for tests, made by `regent pki`; certificates that are odd by tests/pki/make_cert; and callers with any of them.

    pki = Pki(scene)                        # a CA in the scene
    pki.issue("manager", "m1", "--id", "1") # `regent pki issue`; .crt and .key lie in pki.dir
    pki.tls("m1")                           # the section `tls` of regentd.yaml
    pki.tls_dir("operator")                 # a directory for `regent --tls-dir`
    pki.odd("expired", "manager", "m2", 2, -7200, -3600)
    connect(address, pki.files("m2"), "regent-raft/1")      # a TLS socket, or an exception
"""
import os
import shutil
import socket
import ssl
import subprocess

from scene import Failure, binary

DAY_S = 24 * 3600
RAFT, PEER, CLIENT, AGENT = "regent-raft/1", "regent-peer/1", "regent-client/1", "regent-agent/1"


class Pki:
    """'made': the directory of a CA that was made before, to be copied: making one takes half a second."""

    def __init__(self, scene, name="test", directory="pki", made=None):
        self.scene = scene
        self.dir = scene.path(directory)
        if made:
            shutil.copytree(made, self.dir)
        else:
            self.regent("init", name)

    def has(self, name):
        return os.path.exists(self.files(name)[0])

    def id_of(self, name):
        """The id in the current certificate of a manager, or None."""
        with open(os.path.join(self.dir, "index")) as f:
            rows = [line.split() for line in f if not line.startswith("#")]
        return next((int(row[3]) for row in rows if row[1:3] == ["manager", name] and "current" in row), None)

    def regent(self, *arguments, check=True):
        """`regent pki ARGUMENTS --dir ...`; its exit code and output. A code other than 0 fails with 'check'."""
        done = subprocess.run([binary("regent"), "pki", *arguments, "--dir", self.dir], capture_output=True, text=True,
                              timeout=30, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"})
        if check and done.returncode != 0:
            raise Failure(f"regent pki {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stdout + done.stderr

    def issue(self, role, name, *options):
        self.regent("issue", role, name, *options)
        return self.files(name)

    def renew(self, name):
        self.regent("renew", name)

    def revoke(self, name):
        self.regent("revoke", name)

    def issue_group(self, managers_n=3):
        """What a group needs: m1, m2, ... with ids 1, 2, ...; an operator; an agent."""
        for i in range(1, managers_n + 1):
            self.issue("manager", f"m{i}", "--id", str(i), "--host", "127.0.0.1")
        self.issue("operator", "operator")
        self.issue("agent", "agent")

    def odd(self, file, role, name, number, begins_s, ends_s):
        """A certificate of this CA that its index does not know. Times count from now and may be negative."""
        path = os.path.join(self.dir, file)
        done = subprocess.run([binary("tests/pki/make_cert"), self.dir, role, name, str(number), str(begins_s),
                               str(ends_s), path], capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise Failure(f"make_cert {file}: {done.stderr}")
        return self.files(file)

    def files(self, name):
        """Paths of certificate and key."""
        return os.path.join(self.dir, name + ".crt"), os.path.join(self.dir, name + ".key")

    def tls(self, name):
        """The value of `tls` in regentd.yaml."""
        cert, key = self.files(name)
        ca, crl = os.path.join(self.dir, "ca.crt"), os.path.join(self.dir, "crl.pem")
        return f"{{ca: {ca}, cert: {cert}, key: {key}, crl: {crl}}}"

    def tls_dir(self, name="operator"):
        """A directory of its own for the certificates of one who calls; made at the first call."""
        to = os.path.join(self.dir, "tls-" + name)
        if not os.path.isdir(to):
            os.mkdir(to, 0o700)
            shutil.copy(os.path.join(self.dir, "ca.crt"), to)
            cert, key = self.files(name)
            shutil.copy(cert, os.path.join(to, "operator.crt"))
            shutil.copy(key, os.path.join(to, "operator.key"))
        return to


def context(files, alpn, version=ssl.TLSVersion.TLSv1_3):
    """What a caller says of itself; it does not look at whom it calls. 'files': certificate and key, or None."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.minimum_version = ssl.TLSVersion.TLSv1_2
    c.maximum_version = version
    if alpn:
        c.set_alpn_protocols([alpn])
    if files:
        c.load_cert_chain(*files)
    return c


def connect(address, files, alpn, version=ssl.TLSVersion.TLSv1_3, seconds=10):
    """Shakes hands. That the other side accepts us is known only when it answers (TLS 1.3)."""
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    try:
        return context(files, alpn, version).wrap_socket(plain)
    except BaseException:
        plain.close()
        raise
