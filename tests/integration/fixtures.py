"""Fixtures.  `system` is shared by a file's ordinary calls; `fresh` makes one with its own settings."""
import itertools
import os

import pytest

# Processes that share a run (pytest -n) keep to ports of their own.
SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
os.environ.setdefault("FAR_END_PORT", str(43100 + 700 * SHARE))

import sip_answerer  # noqa: E402
from handback import BIN, SANITIZED, System  # noqa: E402

sip_answerer.PORTS = itertools.count(35200 + 900 * SHARE)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; once, on a plain build, is enough")
    config.addinivalue_line("markers", "plain: judges speed, memory or descriptors, which a sanitizer changes")


def pytest_collection_modifyitems(config, items):
    if not (BIN / "sip-worker").exists():
        raise pytest.UsageError(f"{BIN}/sip-worker is not built: make, or set HANDBACK_BIN")
    for item in items if SANITIZED else ():
        if item.get_closest_marker("plain"):
            item.add_marker(pytest.mark.skip(reason="judged on a plain build"))


@pytest.fixture(scope="module")
def system():
    instance = System()
    try:
        yield instance.start()
        instance.stop()
    finally:
        instance.destroy()


@pytest.fixture
def fresh():
    """fresh(config=…, agent=…) gives a System that is not started yet; all are ended afterwards."""
    made = []

    def make(**kwargs):
        made.append(System(**kwargs))
        return made[-1]

    try:
        yield make
        for instance in made:
            instance.stop()
    finally:
        for instance in made:
            instance.destroy()


def pytest_runtest_makereport(item, call):
    """A failure shows the tail of the logs of the systems that run."""
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        for system in System.running:
            for process in system.processes:
                item.add_report_section(call.when, f"log of {process.name}", process.text()[-6000:])
