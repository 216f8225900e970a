"""A rolling upgrade: the managers of a group are replaced one by one by those of a version to come (tests/upgrade),
under load. That version adds a command (`note label=...`, which today's program takes for a note) and a field of the
snapshot (the label)."""
import json
import os

import pytest

import exactly_once
from exactly_once import Witness, check, read_told
from managers import Group
from scene import Failure, binary, wait_for

OLD, NEXT = "regentd", "next/regentd"


class Upgrade:
    """A group under load: clients write notes all the time, and are told to end at the end."""

    def __init__(self, scene):
        self.scene = scene
        self.group = Group(scene)
        for m in self.group.managers:
            m.write_config(log="{level: debug}")
        self.group.start()
        self.out, self.until = scene.path("told"), scene.path("enough")
        self.clients = exactly_once.start_clients(self.group, self.out, self.until, "--clients", "2", "--commands", "1",
                                                  "--seconds", "120")

    def says(self, manager):
        """What one manager says of versions, or None."""
        code, out, _ = self.group.regent("--json", "version", manager=manager, check=False)
        return json.loads(out)["manager"] if code == 0 else None

    def replace(self, manager, program):
        """Ends a manager and starts that program on its data; it must come back into the group."""
        assert manager.stop() == 0, manager.log()
        manager.program = program
        manager.start()
        _, said, _ = self.group.regent("note", f"{manager.name} runs {program}", manager=self.other(manager))
        index = int(said.split("index ")[1].split(";")[0])

        def look():
            if not manager.is_running():
                raise Failure(f"{manager.name} ended:\n{manager.log()}")
            witness = Witness(manager.name, self.scene.log_path(manager.name))
            return index in witness.applied or witness.restored >= index

        wait_for(f"{manager.name} has come back as {program}", 30, look, 0.1)

    def other(self, manager):
        return next(m for m in self.group.managers if m is not manager)

    def hand_to(self, manager):
        """Makes a manager the leader."""
        def leads():
            self.group.regent("member", "transfer", manager.name, check=False)
            return self.group.leader() is manager

        wait_for(f"{manager.name} leads", 30, leads, 0.3)

    def label(self, text):
        return self.group.regent("note", "label=" + text, check=False)

    def end(self):
        """Ends the load; each acknowledged note was applied once by all, old or new."""
        with open(self.until, "w"):
            pass
        assert self.clients.wait(60) == 0
        witnesses = exactly_once.wait_all_applied(self.group)
        numbers = check(read_told(self.out), witnesses)
        assert numbers["ok"] > 100
        return witnesses


@pytest.fixture
def upgrade(scene):
    return Upgrade(scene)


def files(directory):
    """Name, size and bytes of what is stored, but for what a start always makes."""
    found = {}
    for name in sorted(os.listdir(os.path.join(directory, "raft"))):
        with open(os.path.join(directory, "raft", name), "rb") as f:
            found[name] = f.read()
    return found


def test_rolling_upgrade(upgrade):
    m1, m2, m3 = upgrade.group.managers
    # One after the other, until one old manager is left.
    for m in (m1, m2):
        upgrade.replace(m, NEXT)
    upgrade.hand_to(m1)
    assert upgrade.says(m1)["version"].endswith("-next")
    speaks = sorted((m["id"], m["speaks"][1]) for m in upgrade.says(m1)["managers"])
    assert speaks == [(1, 2), (2, 2), (3, 1)]
    # The group runs at the version of the lowest: what is new is refused, by all alike.
    code, _, said = upgrade.label("blue")
    assert code == 1 and "the command needs version 2, and the group runs at version 1" in said
    assert all(upgrade.says(m)["group_version"] == 1 for m in (m1, m2, m3))
    # Going back is allowed before the switch, and so is coming again.
    upgrade.replace(m2, OLD)
    assert upgrade.says(m2)["version"] == upgrade.says(m3)["version"]
    upgrade.replace(m2, NEXT)
    # The last one: then the version rises by itself.
    upgrade.replace(m3, NEXT)
    wait_for("the group runs at version 2", 15,
             lambda: all((upgrade.says(m) or {}).get("group_version") == 2 for m in (m1, m2, m3)), 0.2)
    wait_for("the new command works", 15, lambda: upgrade.label("green")[0] == 0, 0.2)
    assert [e["text"] for e in upgrade.group.events() if e["kind"] == "version.raised"] == [
        "the group runs at version 2 now: managers that do not speak it cannot come back"]
    refused = [e for w in upgrade.end() for e in w.applied.values() if e.code == "unknown" and not e.repeated]
    assert len(refused) >= 3 and len({e.request for e in refused}) == len(refused) // 3  # By old and new.
    keeps_what_is_new(upgrade, m2)
    old_program_is_refused(m2)
    upgrade.group.stop()


def keeps_what_is_new(upgrade, manager):
    """A restart reads snapshot and log of the new version."""
    upgrade.replace(manager, NEXT)
    said = upgrade.says(manager)
    assert (said["group_version"], said["label"]) == (2, "green")


def old_program_is_refused(manager):
    """It says why, and touches nothing; the new one goes on afterwards."""
    assert manager.stop() == 0
    before = files(manager.data_dir)
    manager.program = OLD
    code, output = manager.run()
    assert code == 1
    assert "speaks versions 1 to 1" in output and "start one that speaks version 2" in output
    assert "re-add" not in output
    assert files(manager.data_dir) == before
    manager.program = NEXT
    manager.start()


def test_the_release_is_none_of_a_version_to_come():
    with open(binary("regentd"), "rb") as f:
        program = f.read()
    assert b"-next" not in program and b"label=" not in program
    with open(binary(NEXT), "rb") as f:
        assert b"-next" in f.read()
