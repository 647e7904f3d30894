"""Fixtures.  `system` is shared by a file's ordinary calls; `fresh` makes one with its own settings."""
import pytest
from handback import BIN, System


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long, or needs the speed of a plain build")


def pytest_collection_modifyitems(config, items):
    if not (BIN / "sip-worker").exists():
        raise pytest.UsageError(f"{BIN}/sip-worker is not built: make, or set HANDBACK_BIN")


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
