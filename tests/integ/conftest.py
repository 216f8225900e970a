"""What the integration tests share. They look at the servers and at the writer's record, not at our own log."""
import os
import pty
import signal
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import managers  # noqa: E402
import namespaces  # noqa: E402
import servers  # noqa: E402
from faults import Stage  # noqa: E402
from scene import Failure, Scene  # noqa: E402


def pytest_configure():
    def end(number, _frame):
        raise KeyboardInterrupt(f"signal {number}")

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


@pytest.fixture(scope="session", autouse=True)
def template(tmp_path_factory):
    servers.template()
    managers.made_pki = str(tmp_path_factory.mktemp("regent") / "pki")


@pytest.fixture
def scene():
    with Scene("test") as scene:
        yield scene


@pytest.fixture
def stage(scene):
    """Three managers, an enrolled cluster of four, no writer yet. What it looks like is told when the test fails."""
    stage = Stage(scene)
    try:
        stage.set_up()
        yield stage
    except Failure:
        print(stage.describe())
        raise


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    stage = item.funcargs.get("stage") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and isinstance(stage, Stage):
        report.sections.append(("the stage", stage.describe()))


@pytest.fixture
def world():
    reason = namespaces.missing()
    if reason:
        pytest.skip(reason)
    with namespaces.World() as world:
        yield world


@pytest.fixture
def own_mounts():
    """Skips where no mount namespace can be had: in a container without the right, in a root that is no mount point."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount namespace here ({done.stderr.strip()}), so no disk is full")


@pytest.fixture
def terminal():
    """Both ends of a terminal; skips where there is none (a root without /dev/pts)."""
    try:
        ours, theirs = pty.openpty()
    except OSError as e:
        pytest.skip(f"no terminal here ({e}), so nobody is asked")
    yield ours, theirs
    os.close(theirs)
    os.close(ours)
