"""That systemd has read the units: by what it says itself, and with the note of the last start kept true."""

import hashlib

import pghalib.services
import pghalib.services.started
import pytest
from salt.exceptions import CommandExecutionError

FRESH = {"LoadState": "loaded", "NeedDaemonReload": "no"}
STALE = {"LoadState": "loaded", "NeedDaemonReload": "yes"}
ABSENT = {"LoadState": "not-found", "NeedDaemonReload": "no"}


@pytest.fixture
def unit(loader_module, tmp_path, monkeypatch):
    """A function (answers of systemd, test, there) -> (the state's return, how often systemd was told to read)."""
    monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))

    def read(*answers, test=False, there=True, reload=None):
        left, told = list(answers), []
        salt = {
            "service.show": lambda _name: left.pop(0) if len(left) > 1 else left[0],
            "service.systemctl_reload": reload or (lambda: told.append(1)),
        }
        module = loader_module("_states/pgha_unit.py", salt=salt, opts={"test": test})
        if there:
            (tmp_path / "consul.service").write_text("[Unit]\n")
        return module.read("n", "consul.service"), len(told)

    return read


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(("shown", "there"), [(FRESH, True), (ABSENT, False)])
def test_what_systemd_knows_is_left_alone(unit, shown, there, test):
    ret, told = unit(shown, test=test, there=there)
    assert (ret["result"], ret["changes"], told) == (True, {}, 0)


@pytest.mark.parametrize(
    ("before", "after", "there"),
    [
        # Changed, also by a run that was killed before it could say so; new; taken away.
        (STALE, FRESH, True),
        (ABSENT, FRESH, True),
        (STALE, ABSENT, False),
    ],
)
def test_what_systemd_has_not_read_is_read(unit, before, after, there):
    ret, told = unit(before, test=True, there=there)
    assert (ret["result"], bool(ret["changes"]), told) == (None, True, 0)
    ret, told = unit(before, after, there=there)
    assert (ret["result"], bool(ret["changes"]), told) == (True, True, 1)


def test_a_unit_that_systemd_does_not_take_fails(unit):
    for state in ("masked", "bad-setting", "error"):
        ret, _ = unit({"LoadState": state, "NeedDaemonReload": "no"})
        assert (ret["result"], ret["changes"]) == (False, {})
        assert f"({state}): systemctl status consul.service" in ret["comment"]


def test_a_systemd_that_does_not_reload_fails(unit):
    def refuse():
        raise CommandExecutionError("Problem performing systemctl daemon-reload")

    ret, _ = unit(STALE, reload=refuse)
    assert (ret["result"], ret["changes"]) == (False, {})


def test_a_start_between_the_change_and_the_reading_counts_as_one_by_the_older_unit(unit, tmp_path):
    """Its note has the digest of the file that was on the disk, while systemd ran what it had read before."""
    path, other = tmp_path / "consul.service", tmp_path / "other"
    digest = hashlib.sha256(b"[Unit]\n").hexdigest()
    other.write_text("[Unit]\n")
    note = tmp_path / "consul.started-with"
    note.write_text(f"{digest}  {path}\n{digest}  {other}\n")
    unit(FRESH)
    assert pghalib.services.started.changed("consul", [str(other)]) == []
    unit(STALE, FRESH)
    assert pghalib.services.started.changed("consul", [str(other)]) == [str(path)]
    assert note.stat().st_mode & 0o777 == 0o600
