"""What unit tests share."""

import importlib
import time

import pytest


class Clock:
    """Stands in for ``time`` where a condition is waited for: pauses alone move it (``now``, seconds)."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def clock():
    """
    The clock of :py:func:`pghalib.wait.until`. Nobody sits through its pauses and time-outs, and none of them is too
    short for a slow machine.
    """
    # Not at the top: imported before pytest keeps the log, Salt lets every debug message of all tests through.
    wait = importlib.import_module("pghalib.wait")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wait, "time", made := Clock())
        yield made


@pytest.fixture(autouse=True)
def places():
    """Where the product keeps its notes and units: functional tests before this one may have moved them."""
    services = importlib.import_module("pghalib.services")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "DIRECTORY", "/run/pgha")
        patch.setattr(services, "UNITS", "/etc/systemd/system")
        yield


@pytest.fixture
def zone(monkeypatch):
    """A function (text of TZ): the local time of this process is of that zone until the test ends."""
    with monkeypatch.context() as patch:

        def use(text):
            patch.setenv("TZ", text)
            time.tzset()

        yield use
    time.tzset()
