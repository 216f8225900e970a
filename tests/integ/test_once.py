"""Exactly once, in small; `make once` is the large one. And the checker itself must be able to fail."""
import pytest

import exactly_once
from exactly_once import Entry, Told, check
from scene import Failure


def test_each_acknowledged_command_is_applied_once(scene):
    print(exactly_once.run(scene, commands=4000, clients=8, leaders=8, seed=1, seconds=120))


class Fake:
    """A manager that applied these entries."""

    def __init__(self, applied, restored=0):
        self.name, self.applied, self.restored = "m", applied, restored


ONE, TWO = ("a", 1), ("a", 2)
TOLD = {ONE: Told("ok", 5), TWO: Told("ok", 7)}
APPLIED = {5: Entry(ONE, "ok", 5, False), 6: Entry(ONE, "ok", 5, True), 7: Entry(TWO, "ok", 7, False)}


@pytest.mark.parametrize("told, applied, said", [
    ({ONE: Told("ok", 5), TWO: Told("unknown", 0)}, {}, None),
    ({ONE: Told("again", 5), TWO: Told("ok", 7)}, {6: Entry(ONE, "ok", 6, False)}, "applied 2 times"),
    ({ONE: Told("ok", 6), TWO: Told("ok", 7)}, {}, "acknowledged at index 6"),
    ({("b", 1): Told("ok", 9)}, {}, r"applied at \[\]"),
    ({ONE: Told("ok", 5), TWO: Told("none", 0)}, {}, "not to be done"),
    ({}, {6: Entry(ONE, "ok", 7, True)}, "not applied at 7"),
    ({ONE: Told("again", 5)}, {}, "no client tells of it"),
])
def test_the_checker_finds(told, applied, said):
    witness = Fake({**APPLIED, **applied})
    if said is None:
        assert check(told, [witness])["repeated"] == 1
        return
    with pytest.raises(Failure, match=said):
        check(told, [witness])


def test_the_checker_compares_managers():
    with pytest.raises(Failure, match="another manager"):
        check({}, [Fake(APPLIED), Fake({5: Entry(TWO, "ok", 5, False)})])
    with pytest.raises(Failure, match="never applied"):
        check(TOLD, [Fake(APPLIED), Fake({}, restored=6)])
    check(TOLD, [Fake(APPLIED), Fake({}, restored=7)])
