"""Fixtures.  `system` is shared by a file's ordinary calls; `fresh` makes one with its own settings."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from handback import BIN, System  # noqa: E402


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
    """A failure shows the tail of the logs of the systems it used."""
    if call.when == "call" and call.excinfo is not None:
        for value in item.funcargs.values():
            if isinstance(value, System):
                for process in value.processes:
                    item.add_report_section("call", f"log of {process.name}", process.text()[-6000:])
