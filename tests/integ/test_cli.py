"""The command line against managers of our own making: exit codes, redirects, lost answers, frozen and lying managers.

A fake manager speaks the frames of lib/frame.h and the few protobuf fields of proto/client.proto that it needs.
"""
import concurrent.futures
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

REGENT = os.path.join(os.environ.get("REGENT_BUILD", "build"), "regent")
OK, FAILED, USAGE, NO_LEADER, UNKNOWN, REFUSED, REDIRECT, MORE = 0, 1, 2, 3, 4, 5, 64, 65
STATUS, EVENTS, EXPLAIN, FAILOVER, PLAN_LIST, PLAN_SHOW, PLAN_ABORT = range(1, 8)
MEMBER_LIST, VERSION, NOTE, MEMBER_SET, EXPIRED = 8, 11, 12, 14, 66


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def answer(code, text="", leader="", body=None, index=0):
    out = b"\x08" + varint(code) + b"\x28" + varint(index)
    for number, value in ((2, text), (3, leader), (4, "" if body is None else json.dumps(body))):
        data = value.encode()
        out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def fields(data):
    """The numbers and bytes of a message's top level."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        found[key >> 3] = value
    return found


class Manager:
    """Answers each request with what script(its fields) returns: bytes, a list of bytes, or None to hang up."""

    def __init__(self, script, path=None):
        self.script, self.requests, self.closing = script, [], False
        self.index = 1000
        self.group = []  # Addresses that a hello is answered with.
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(16)
        self.address = path or "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while not self.closing:
            if not select.select([self.listener], [], [], 0.05)[0]:
                continue
            connection, _ = self.listener.accept()
            connection.settimeout(20)
            thread = threading.Thread(target=self.serve, args=(connection,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def serve(self, connection):
        def read(size):
            data = b""
            while len(data) < size:
                part = connection.recv(size - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        try:
            with connection:
                assert read(8) == b"RGNT\x01\x03\x00\x00"
                while True:
                    size, kind, _, number = struct.unpack("<IHHQ", read(16))
                    assert kind == 1
                    request = fields(read(size))
                    if request[1] == VERSION:  # Also how a client learns an index before it changes something.
                        answers = answer(OK, body={"version": "9.9", "node": "m7", "addresses": self.group},
                                         index=self.index)
                    else:
                        self.requests.append(request)
                        answers = self.script(request)
                    if answers is None:
                        return
                    for a in [answers] if isinstance(answers, bytes) else answers:
                        connection.sendall(struct.pack("<IHHQ", len(a), 2, 0, number) + a)
        except (EOFError, OSError):
            pass

    def close(self):
        self.closing = True
        self.threads[0].join()
        self.listener.close()


@pytest.fixture
def manager():
    made = []

    def make(script, path=None):
        made.append(Manager(script, path))
        return made[-1]

    yield make
    for m in made:
        m.close()


def regent(*arguments, seconds=20, env=None, stdin=subprocess.DEVNULL):
    environment = {k: v for k, v in os.environ.items() if k != "REGENT_CONNECT"}
    environment.update(env or {})
    return subprocess.run([REGENT, *arguments], capture_output=True, text=True, timeout=seconds, env=environment,
                          stdin=stdin)


STATUS_JSON = {"leader": "m1", "term": 3, "index": 9, "stale": False, "from": "m1", "clusters": [
    {"name": "shop", "state": "ok", "text": "", "epoch": 1, "master": "db1", "backup": "db2", "lossless": True,
     "durability": "lossless", "ackers": ["db2"], "plan": None,
     "servers": [{"name": "db1", "address": "h:1", "role": "master", "state": "member", "health": "ok", "reason": "",
                  "lag_ms": 0, "gtid": "0-1-1", "read_only": False}]}]}


@pytest.mark.parametrize("arguments, said", [
    ([], "what shall be done?"),
    (["statsu"], "did you mean `regent status`?"),
    (["plan"], "is followed by one of: list, show, abort"),
    (["plan", "shwo"], "is followed by one of: list, show, abort"),
    (["explain"], "wants CLUSTER"),
    (["status", "a", "b"], '"b" is too much'),
    (["status", "--follow"], "does not take --follow"),
    (["--conect", "x", "status"], "did you mean --connect?"),
    (["--conect=/run/x.sock", "status"], "did you mean --connect?"),
    (["status", "--connect"], "wants a value"),
    (["status", "--json=yes"], "takes no value"),
    (["plan", "show", "first"], "named by its number"),
    (["events", "--last", "none"], "wants a number"),
    (["failover", "shop"], "add --yes"),
    (["--connect", ",", "status"], "no address"),
    (["status", "x" * 64], "at most 63 characters"),
    (["note"], "wants [CLUSTER] TEXT"),
    (["note", "x" * 256], "at most 255 bytes"),
    (["-x"], "no option -x"),
])
def test_usage_errors(arguments, said):
    done = regent(*arguments)
    assert done.returncode == USAGE
    assert said in done.stderr
    assert done.stdout == ""


def test_help_names_every_command_and_exit_code():
    done = regent("--help")
    assert done.returncode == OK
    for word in ("status", "topology", "events", "explain", "failover", "plan list", "plan show", "plan abort",
                 "note", "member list", "cluster add", "cluster apply", "cluster show", "version", "REGENT_CONNECT"):
        assert word in done.stdout
    for command in ("failover", "plan abort", "cluster add"):
        assert "usage: regent " + command in regent(*command.split(), "--help").stdout
    manual = regent("--man").stdout
    assert manual.splitlines()[1].startswith(".TH REGENT 1")
    assert manual.count("\n.TP\n") > 20


def test_nobody_listens():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        done = regent("--connect", "127.0.0.1:%d" % s.getsockname()[1], "status")
    assert done.returncode == NO_LEADER
    assert "Connection refused" in done.stderr and "REGENT_CONNECT" in done.stderr
    done = regent("--connect", "/nonexistent/sock", "status")
    assert done.returncode == NO_LEADER and "/nonexistent/sock" in done.stderr


def test_version_needs_no_manager(manager):
    done = regent("--connect", "/nonexistent/sock", "version")
    assert done.returncode == OK and done.stdout.startswith("regent ")
    m = manager(lambda r: None)
    assert "regentd 9.9 (m7)" in regent("--connect", m.address, "version").stdout


def test_status_as_text_and_json(manager, tmp_path):
    m = manager(lambda r: answer(OK, body=STATUS_JSON), str(tmp_path / "sock"))
    done = regent("status", env={"REGENT_CONNECT": m.address})
    assert done.returncode == OK
    assert "leader m1, term 3" in done.stdout and "cluster shop: ok" in done.stdout and "\033" not in done.stdout
    done = regent("--json", "status", env={"REGENT_CONNECT": m.address})
    assert json.loads(done.stdout) == STATUS_JSON


@pytest.mark.parametrize("code", [FAILED, REFUSED])
def test_codes_become_exit_codes(manager, code):
    m = manager(lambda r: answer(code, "the reason why"))
    done = regent("--connect", m.address, "plan", "abort", "7")
    assert done.returncode == code
    assert done.stderr == "regent: the reason why\n"


def test_redirect_to_the_leader(manager):
    leader = manager(lambda r: answer(OK, body=STATUS_JSON))
    follower = manager(lambda r: answer(REDIRECT, leader=leader.address))
    assert regent("--connect", follower.address, "status").returncode == OK
    assert len(follower.requests) == len(leader.requests) == 1


def test_dead_and_frozen_addresses_are_passed_over(manager):
    frozen = socket.create_server(("127.0.0.1", 0))
    leader = manager(lambda r: answer(OK, body=STATUS_JSON))
    try:
        connect = "/nonexistent/sock,127.0.0.1:%d,%s" % (frozen.getsockname()[1], leader.address)
        assert regent("--connect", connect, "status").returncode == OK
    finally:
        frozen.close()


def test_waits_for_an_election(manager):
    began = time.monotonic()
    m = manager(lambda r: answer(OK, body=STATUS_JSON) if time.monotonic() - began > 1.5 else answer(NO_LEADER, "none"))
    assert regent("--connect", m.address, "status").returncode == OK


def test_redirects_in_a_ring_end(manager):
    two = []
    one = manager(lambda r: answer(REDIRECT, leader=two[0].address))
    two.append(manager(lambda r: answer(REDIRECT, leader=one.address)))
    done = regent("--connect", one.address, "explain", "shop")
    assert done.returncode == NO_LEADER and "no leader" in done.stderr


def test_stale_status_without_leader(manager):
    stale = {**STATUS_JSON, "stale": True, "leader": None}
    m = manager(lambda r: answer(NO_LEADER, "it is what m1 remembers", body=stale if r.get(11) else None))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        text = pool.submit(regent, "--connect", m.address, "status")
        as_json = pool.submit(regent, "--connect", m.address, "--json", "status")
    assert text.result().returncode == as_json.result().returncode == NO_LEADER
    assert text.result().stdout.startswith("NO LEADER") and "cluster shop: ok" in text.result().stdout
    assert json.loads(as_json.result().stdout)["stale"] is True


def test_lost_answer_is_asked_for_again_under_the_same_id(manager):
    seen = []

    def script(request):
        seen.append((request[2], request[3], request[13]))
        m.index += 1
        return answer(OK, "plan 7 is aborted") if len(seen) == 3 else None

    m = manager(script)
    done = regent("--connect", m.address, "plan", "abort", "7")
    assert done.returncode == OK and done.stdout == "plan 7 is aborted\n"
    assert len(seen) == 3 and len(set(seen)) == 1 and seen[0][0] != 0
    assert seen[0][2] == 1000  # The index that was known when the id was made: the same in all attempts.


def test_outcome_that_stays_unknown(manager):
    m = manager(lambda r: None)
    done = regent("--connect", m.address, "plan", "abort", "7")
    assert done.returncode == UNKNOWN
    assert "not known whether this was done" in done.stderr
    assert regent("--connect", m.address, "plan", "show", "7").returncode == NO_LEADER  # A read changes nothing.


def test_forgotten_request_is_unknown(manager):
    """The answer was lost, and when the client comes back the managers do not remember the request any more."""
    answers = [answer(EXPIRED, "forgotten", index=9000), None]
    m = manager(lambda r: answers.pop() if answers else answer(OK, "aborted"))
    done = regent("--connect", m.address, "plan", "abort", "7")
    assert done.returncode == UNKNOWN and not answers
    assert "do not remember the request" in done.stderr and "regent events" in done.stderr
    assert [r[13] for r in m.requests] == [1000, 1000]


def test_slow_but_fresh_request_is_made_anew(manager):
    """The first attempt is told to be too old (the index came from a manager that lags): it was certainly not done."""
    answers = [answer(OK, "aborted"), answer(EXPIRED, "forgotten", index=9000)]
    m = manager(lambda r: answers.pop())
    assert regent("--connect", m.address, "plan", "abort", "7").returncode == OK
    assert [r[13] for r in m.requests] == [1000, 9000]


def test_redirect_gives_a_younger_index(manager):
    leader = manager(lambda r: answer(OK, "noted"))
    leader.index = 2000
    follower = manager(lambda r: answer(REDIRECT, leader=leader.address))
    assert regent("--connect", follower.address, "note", "shop", "the text").returncode == OK
    assert leader.requests[0][13] == 2000
    assert (leader.requests[0][1], leader.requests[0][4], leader.requests[0][14]) == (NOTE, b"shop", b"the text")
    assert regent("--connect", follower.address, "note", "of all").returncode == OK
    assert not leader.requests[1].get(4)


def test_many_clients_do_not_come_back_together(manager):
    """Pauses between attempts are drawn by chance, and none is longer than 200 ms."""
    seen = []

    def script(_):
        seen.append(time.monotonic())
        return answer(NO_LEADER, "none") if seen[-1] - seen[0] < 2.5 else answer(OK, "aborted")

    m = manager(script)
    assert regent("--connect", m.address, "plan", "abort", "7").returncode == OK
    pauses = [b - a for a, b in zip(seen, seen[1:])]
    assert 8 < len(pauses) < 60
    assert len({round(p, 3) for p in pauses[4:]}) > 3


def test_unknown_then_no_leader_is_unknown(manager):
    """The leader dies with the request in its hands and no other is elected: it may have been done."""
    answers = [answer(UNKNOWN, "lost")]
    m = manager(lambda r: answers.pop() if answers else answer(NO_LEADER, "none"))
    assert regent("--connect", m.address, "plan", "abort", "7").returncode == UNKNOWN


@pytest.mark.parametrize("lie", [b"\xff\xff\xff", b"", answer(99), answer(OK), answer(OK, body=[1])])
def test_nonsense_from_a_manager(manager, lie):
    m = manager(lambda r: lie)
    done = regent("--connect", m.address, "explain", "shop")
    assert done.returncode in (OK, FAILED, NO_LEADER)
    assert done.returncode == OK or done.stderr.startswith("regent: ")


def event(index):
    return {"index": index, "time": "2026-11-21T02:08:03.123456Z", "cluster": "shop", "epoch": 1, "kind": "verdict",
            "text": f"number {index}", "evidence": ""}


def test_events_in_pages(manager):
    def script(request):
        start = request.get(6, 0)
        return answer(OK, body={"events": [event(i) for i in range(start, start + 3)], "next": start + 3,
                                "more": start < 6})

    m = manager(script)
    lines = regent("--connect", m.address, "--json", "events").stdout.splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(9))
    lines = regent("--connect", m.address, "--json", "events", "--last", "2").stdout.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [7, 8]
    assert "number 8" in regent("--connect", m.address, "events").stdout


def test_follow_survives_a_lost_manager(manager):
    def page(first, last):
        events = [event(i) for i in range(first, last + 1)]
        return answer(MORE, body={"events": events, "next": last + 1, "more": False})

    def second(request):
        if request.get(6, 0) > 4:
            return answer(FAILED, "enough")
        assert request[6] == 3, "goes on after the last event that it showed"
        return [page(3, 4), answer(FAILED, "enough")]

    later = manager(second)
    first = manager(lambda r: [page(0, 1), page(2, 2), answer(NO_LEADER)] if r.get(6, 0) == 0
                    else answer(REDIRECT, leader=later.address))
    done = regent("--connect", first.address, "--json", "events", "--follow")
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1, 2, 3, 4]
    assert done.returncode == FAILED and "enough" in done.stderr


@pytest.mark.parametrize("is_socket", [False, True])
def test_others_are_asked_when_the_only_address_ends(manager, tmp_path, is_socket):
    """A leader that is removed does it, and ends: who was told only of it asks the group."""
    def leader(request):
        if request[1] != MEMBER_SET:
            return None
        first.close()
        return answer(OK, "it is being removed")

    rest = manager(lambda r: answer(OK, body={"members": [{"name": "m2", "role": "voter", "want": "voter"}]}))
    first = manager(leader, str(tmp_path / "sock") if is_socket else None)
    # What is no address of a manager, or nobody's, does no harm.
    first.group = ["/etc/passwd", "", 7, "x" * 1000, "192.0.2.1:7401", "127.0.0.1:1", rest.address]
    began = time.monotonic()
    done = regent("--connect", first.address, "member", "remove", "m1", seconds=50)
    assert done.returncode == OK and "m1 is removed" in done.stdout, done.stderr
    assert time.monotonic() - began < 30
    assert [r[1] for r in rest.requests] == [MEMBER_LIST]


def test_follow_goes_on_at_another_member(manager):
    rest = manager(lambda r: answer(FAILED, "enough") if r[6] == 2 else None)

    def leader(_):
        if first.closing:
            return None
        first.close()
        return [answer(MORE, body={"events": [event(0), event(1)], "next": 2, "more": False}), answer(NO_LEADER)]

    first = manager(leader)
    first.group = [first.address, rest.address]
    done = regent("--connect", first.address, "--json", "events", "--follow")
    assert done.returncode == FAILED and "enough" in done.stderr
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1]


class Failover:
    """A leader that carries out one failover in three looks."""

    def __init__(self, end="finished", dry=OK):
        self.looks, self.end, self.dry = 0, end, dry

    def __call__(self, request):
        if request[1] == FAILOVER and request.get(8):
            return answer(self.dry, "" if self.dry == OK else "refused by a safety rule",
                          body={"dry_run": True, "result": "ok", "steps": ["db2 replaces db1"]})
        if request[1] == FAILOVER:
            return answer(OK, "failover of shop began: plan 7", body={"result": "ok", "token": 7})
        assert request[1] == PLAN_SHOW and request[6] == 7
        self.looks += 1
        steps = [{"step": s, "at": "2026-11-21T02:08:03.1Z"} for s in ("revoke", "promote", "done")[:self.looks]]
        return answer(OK, body={"token": 7, "cluster": "shop", "to": "db2", "epoch": 2, "step": "promote",
                                "state": self.end if self.looks >= 3 else "running", "steps": steps,
                                "took_ms": 412, "reason": "db2 died"})


def test_failover_is_followed_to_its_end(manager):
    m = manager(Failover())
    done = regent("--connect", m.address, "failover", "shop", "--yes")
    assert done.returncode == OK
    lines = done.stdout.splitlines()
    assert lines[0] == "failover of shop began: plan 7"
    assert [line.split()[-1] for line in lines[1:4]] == ["revoke", "promote", "done"]
    assert lines[4] == "db2 is master of shop, epoch 2, after 412 ms"


def test_failover_that_fails(manager):
    m = manager(Failover("failed"))
    done = regent("--connect", m.address, "failover", "shop", "--yes")
    assert done.returncode == FAILED and "plan 7 failed at step promote: db2 died" in done.stderr


def test_failover_options_reach_the_manager(manager):
    m = manager(Failover())
    regent("--connect", m.address, "failover", "shop", "--to=db2", "--accept-loss", "--dry-run")
    assert len(m.requests) == 1
    assert m.requests[0][4] == b"shop" and m.requests[0][5] == b"db2" and m.requests[0][8] and m.requests[0][9]
    done = regent("--connect", m.address, "failover", "shop", "--dry-run")
    assert done.returncode == OK and "db2 replaces db1" in done.stdout


def on_a_terminal(terminal, m, typed):
    """Runs a failover with a terminal on stdin. Returns (exit code, stdout, stderr)."""
    ours, theirs = terminal
    os.write(ours, typed)
    return regent("--connect", m.address, "failover", "shop", stdin=theirs)


def test_failover_asks_on_a_terminal(manager, terminal):
    m = manager(Failover())
    done = on_a_terminal(terminal, m, b"n\n")
    assert done.returncode == FAILED and "nothing was done" in done.stderr
    assert "db2 replaces db1" in done.stderr and "Replace the master of shop now? [y/N]" in done.stderr
    assert all(r.get(8) for r in m.requests), "only the dry run was sent"
    assert on_a_terminal(terminal, m, b"y\n").returncode == OK


def test_refused_failover_does_not_ask(manager, terminal):
    m = manager(Failover(dry=REFUSED))
    done = on_a_terminal(terminal, m, b"y\n")
    assert done.returncode == REFUSED and "[y/N]" not in done.stderr
    assert all(r.get(8) for r in m.requests)


CLUSTER = """\
cluster: shop
flavour: mariadb
credentials: {defaults_file: /etc/regent/my.cnf, group: regent}
servers:
  - {name: db1, address: 127.0.0.1:3311, role: master}
  - {name: db2, address: 127.0.0.1:3312, role: backup}
"""


def test_cluster_files(manager, tmp_path):
    m = manager(lambda r: answer(OK, "done as asked"))
    path = tmp_path / "shop.yaml"
    path.write_text(CLUSTER)
    for word, create in (("add", 1), ("apply", 0)):
        done = regent("--connect", m.address, "cluster", word, str(path))
        assert done.returncode == OK and done.stdout == "done as asked\n"
        request = m.requests[-1]
        assert request.get(10, 0) == create and fields(request[12])[1] == b"shop"
    path.write_text(CLUSTER.replace("flavour", "flavor"))
    done = regent("--connect", m.address, "cluster", "add", str(path))
    assert done.returncode == FAILED and "shop.yaml:2" in done.stderr
    assert len(m.requests) == 2, "a bad file is not sent"
