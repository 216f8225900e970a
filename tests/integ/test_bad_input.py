"""Bad input and faults: each gets one clear message that says what is wrong and what to do, and a non-zero exit or a
quarantined server; and nothing is written to a server that is not understood.
"""
import os
import re
import socket

import pytest
from cluster import Cluster
from managers import Group
from scene import Failure, binary, wait_for

OLD_VERSION = "10.3.39-MariaDB"


@pytest.fixture
def managers(scene):
    group = Group(scene)
    group.start()
    return group


def traces(servers):
    """What a write would change on a server."""
    return {s.name: (s.value("@@global.gtid_binlog_pos"), s.has_schema("regent"), s.value("@@global.read_only"))
            for s in servers}


def reason_of(group, server, pattern, seconds=20):
    """Waits until the status gives a reason for a server that fits the pattern, and returns that server's status."""
    found = {}

    def look(status):
        found.update(next((s for s in status["servers"] if s["name"] == server), {}))
        return re.search(pattern, found.get("reason") or "", re.I)

    group.wait_cluster(look, f"the reason of {server} fits '{pattern}'", seconds)
    return found


def settle(group, server, seconds=3):
    """Gives Regent time to do what it must not do. Time-bounded on purpose: nothing is waited for."""
    seen = []
    try:
        wait_for("", seconds, lambda: seen.append(group.status_now()) or False, 0.5)
    except Failure:
        pass
    return next(s for s in seen[-1]["servers"] if s["name"] == server)


# Servers that are not understood.


def test_wrong_probe_password(scene, managers):
    cluster = Cluster(scene, servers_n=3)
    cluster.start()
    before = traces(cluster.servers)
    managers.add_cluster(cluster.file(defaults_file=cluster.wrong_defaults_file("probe")))
    for server in cluster.servers:
        seen = reason_of(managers, server.name, "login refused|access denied|password")
        assert seen["state"] != "member"
    settle(managers, "db1")
    assert managers.status_now()["state"] != "ok"
    assert traces(cluster.servers) == before


def test_wrong_control_password(scene, managers):
    cluster = Cluster(scene, servers_n=3)
    cluster.start()
    before = traces(cluster.servers)
    managers.add_cluster(cluster.file(defaults_file=cluster.wrong_defaults_file("control")))
    managers.wait_cluster(lambda c: re.search("login refused|access denied|password",
                                              str([s["reason"] for s in c["servers"]]) + str(c.get("text")), re.I),
                          "the status says that the control account's login is refused", 30)
    assert managers.status_now()["state"] != "ok"
    assert traces(cluster.servers) == before


def test_unknown_host(scene, managers):
    """The rest of the cluster is enrolled without it."""
    cluster = Cluster(scene, servers_n=3)
    cluster.start()
    servers = [(s.name, s.address, r) for s, r in zip(cluster.servers, ("master", "backup", "replica"))]
    managers.add_cluster(cluster.file(servers=servers + [("db9", "no-such-host.invalid:3306", "replica")]))
    seen = reason_of(managers, "db9", "no-such-host.invalid|host unknown|unreachable")
    assert seen["state"] != "member"
    cluster.check(cluster.master)


def test_unsupported_version(scene, managers):
    cluster = Cluster(scene, servers_n=4)
    old = cluster.servers[3]
    cluster.start(options={old.name: [f"--version={OLD_VERSION}"]})
    managers.add_cluster(cluster.file())
    seen = reason_of(managers, old.name, r"10\.3\.39")
    assert seen["state"] != "member"
    settle(managers, old.name)
    # It replicates, so what the master logged is on it; what Regent keeps on each server itself is not.
    assert not old.sql("SELECT 1 FROM information_schema.tables WHERE table_schema='regent' AND table_name='fence'")
    assert not old.is_writable()


def test_unsupported_master(scene, managers):
    cluster = Cluster(scene, servers_n=3)
    cluster.start(options={"db1": [f"--version={OLD_VERSION}"]})
    before = traces(cluster.servers)
    managers.add_cluster(cluster.file())
    reason_of(managers, "db1", r"10\.3\.39")
    settle(managers, "db1")
    assert managers.status_now()["state"] != "ok"
    assert traces(cluster.servers) == before


@pytest.mark.parametrize("other", [False, True], ids=["no-replica", "replica-of-another"])
def test_not_a_replica_of_the_declared_master(scene, managers, other):
    cluster = Cluster(scene, servers_n=4)
    cluster.start()
    stray = cluster.servers[3]
    stray.sql("STOP SLAVE", "RESET SLAVE ALL")
    if other:
        cluster.attach(stray, cluster.servers[2], acker=False)
        wait_for("the stray replicates from db3", 10, lambda: cluster.follows(stray, cluster.servers[2]))
    managers.add_cluster(cluster.file())
    seen = reason_of(managers, stray.name, "replica|follow|master|source")
    assert seen["state"] == "quarantined"
    settle(managers, stray.name)
    assert not stray.sql("SELECT 1 FROM information_schema.tables WHERE table_schema='regent' AND table_name='fence'")
    if not other:
        assert not stray.slave() and not stray.has_schema("regent")
    cluster.check(cluster.master, cluster.servers[1:3])


# The manager itself. Each ends with a non-zero code and names what is wrong.


def refuses(manager, *patterns, options=()):
    code, output = manager.run(*options)
    assert code not in (0, None) and code > 0, output
    for pattern in patterns:
        assert re.search(pattern, output, re.I), output
    return output


def test_port_taken(scene):
    manager = Group(scene).managers[0]
    manager.bootstrap()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", manager.port))
        taken.listen(1)
        refuses(manager, re.escape(manager.address), "in use|taken")


def test_data_directory_of_another_node(scene):
    first, second, _ = Group(scene).managers
    first.bootstrap()
    second.write_config(data_dir=first.data_dir)
    refuses(second, re.escape(first.data_dir), r"\bm1\b", r"\bm2\b")


def test_data_directory_in_use(scene):
    group = Group(scene)
    group.start()
    second = Group(scene).managers[0]  # The same node from another place: other ports, the same directory.
    second.write_config(data_dir=group.managers[0].data_dir, socket=scene.path("second.sock"))
    refuses(second, re.escape(group.managers[0].data_dir), "in use|locked|already runs|another regentd")
    assert group.managers[0].is_running()


def test_data_directory_not_initialised(scene):
    manager = Group(scene).managers[0]
    refuses(manager, re.escape(manager.data_dir), "bootstrap")


def test_bootstrap_twice(scene):
    manager = Group(scene).managers[0]
    manager.bootstrap()
    refuses(manager, re.escape(manager.data_dir), options=["--bootstrap"])


def test_bad_configuration(scene):
    manager = Group(scene).managers[0]
    manager.write_config(data_dri="/tmp/x")
    output = refuses(manager, re.escape(manager.config) + r":\d+: ", "data_dir")
    assert len(output.strip().splitlines()) == 1


def start_on_small_disk(scene, manager, size, filled=False):
    """Its data directory is a tmpfs in a mount namespace of its own, which ends with it."""
    data, program = manager.data_dir, binary("regentd")
    script = (f"mkdir -p {data} && mount -t tmpfs -o size={size} none {data} && "
              f"{program} --bootstrap --config {manager.config} && "
              + (f"{{ cat /dev/zero >{data}/filler; " if filled else "{ ")
              + f"exec {program} --config {manager.config}; }}")
    manager.process = scene.spawn(manager.name, ["unshare", "--mount", "sh", "-c", script])


def assert_ends_for_want_of_space(manager, code, output):
    assert code > 0, output
    told = [line for line in output.splitlines() if re.search("no space left|disk is full", line, re.I)
            and "filler" not in line and "cat:" not in line]
    assert len(told) == 1 and manager.data_dir in told[0] and "free" in told[0], output


@pytest.mark.usefixtures("own_mounts")
def test_full_disk(scene):
    """The disk under one manager's Raft directory is full: that one ends and says why; the others go on."""
    group = Group(scene)
    full, *others = group.managers
    for manager in others:
        manager.bootstrap()
        manager.start()
    start_on_small_disk(scene, full, "24m", filled=True)
    assert_ends_for_want_of_space(full, full.process.wait(20), full.log())
    assert group.wait_leader() in others


@pytest.mark.usefixtures("own_mounts")
def test_disk_fills_up(scene):
    """There is room for one segment of the log only: the manager says so at once, while its reserve lasts, and once."""
    group = Group(scene)
    full, *others = group.managers
    for manager in others:
        manager.bootstrap()
        manager.start()
    start_on_small_disk(scene, full, "1300k")
    group.wait_leader()

    def told():
        return [line for line in full.log().splitlines() if "disk_full" in line]

    wait_for(lambda: f"{full.name} tells that its disk is full:\n{full.log()}", 15, told)
    assert len(told()) == 1 and full.data_dir in told()[0] and "free space" in told()[0]
    path = scene.write("c.yaml", "cluster: c\nflavour: mariadb\ncredentials: {defaults_file: /none, group: regent}\n"
                       "servers:\n  - {name: db1, address: '127.0.0.1:1', role: master}\n")
    group.regent("cluster", "add", path, manager=others[0])


@pytest.mark.usefixtures("own_mounts")
def test_full_disk_at_bootstrap(scene):
    manager = Group(scene).managers[0]
    # One inode: the directory itself. Every file that is made in it meets "No space left on device".
    script = (f"mkdir -p {manager.data_dir} && mount -t tmpfs -o size=64k,nr_inodes=1 none {manager.data_dir} && "
              f"exec {binary('regentd')} --bootstrap --config {manager.config}")
    child = scene.spawn("full", ["unshare", "--mount", "sh", "-c", script])
    code = child.wait(20)
    with open(scene.log_path("full")) as f:
        output = f.read()
    assert code > 0, output
    assert re.search(r"regentd: .*(no space left|disk full)", output, re.I), output
