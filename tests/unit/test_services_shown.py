"""What the state that systemd shows of a unit means."""

import pytest
from pghalib.services import shown


@pytest.mark.parametrize(
    ("state", "meanings"),
    [
        ("active", {"runs", "starts"}),
        ("reloading", {"runs", "starts", "works"}),
        ("activating", {"starts", "works"}),
        ("deactivating", {"works"}),
        ("inactive", {"ended"}),
        ("failed", {"ended"}),
        ("maintenance", set()),
        # systemd did not answer.
        (None, set()),
    ],
)
def test_what_a_state_means(state, meanings):
    unit = {} if state is None else {"ActiveState": state}
    assert {name for name in ("runs", "starts", "ended", "works") if getattr(shown, name)(unit)} == meanings


@pytest.mark.parametrize(
    ("state", "waiting"),
    [("auto-restart", True), ("auto-restart-queued", True), ("start-pre", False), ("running", False), (None, False)],
)
def test_a_unit_that_has_ended_and_is_started_again_waits(state, waiting):
    assert shown.waits({} if state is None else {"SubState": state}) is waiting


@pytest.mark.parametrize(
    ("unit", "pid"),
    [
        ({"ActiveState": "active", "MainPID": "17"}, 17),
        ({"ActiveState": "reloading", "MainPID": "17"}, 17),
        ({"ActiveState": "activating", "MainPID": "17"}, None),
        ({"ActiveState": "deactivating", "MainPID": "17"}, None),
        ({"ActiveState": "failed", "MainPID": "0"}, None),
        ({"ActiveState": "active", "MainPID": "0"}, None),
        ({"ActiveState": "active", "MainPID": ""}, None),
        ({"ActiveState": "active"}, None),
        ({"MainPID": "17"}, None),
        ({}, None),
    ],
)
def test_a_service_that_runs_has_a_main_process(unit, pid):
    assert shown.main_pid(unit) == pid
