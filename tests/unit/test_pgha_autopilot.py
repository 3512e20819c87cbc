"""Settings of Consul's autopilot, and the state that sets them."""

import pghalib.consul.autopilot
import pytest
from salt.exceptions import CommandExecutionError

FOUND = {
    "CleanupDeadServers": True,
    "LastContactThreshold": "200ms",
    "ServerStabilizationTime": "1m30s",
    "MinQuorum": 3,
    "ModifyIndex": 4,
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, {}),
        ({"min_quorum": 3, "cleanup_dead_servers": True}, {}),
        ({"min_quorum": 5}, {"MinQuorum": (3, 5)}),
        ({"cleanup_dead_servers": False}, {"CleanupDeadServers": (True, False)}),
        ({"last_contact_threshold": "0.2s", "server_stabilization_time": "90s"}, {}),
        ({"last_contact_threshold": "1s"}, {"LastContactThreshold": ("200ms", "1s")}),
        ({"of_another_version": 1, "min_quorum": None}, {}),
    ],
)
def test_only_what_is_configured_and_known_is_compared(wanted, expected):
    assert pghalib.consul.autopilot.differences(wanted, FOUND) == expected


@pytest.fixture
def state(loader_module, monkeypatch):
    """A function (test, **functions) -> what the state returns."""

    def apply(test=False, registrar=True, **functions):
        salt = {f"pgha_consul_registrar.autopilot_{name}": function for name, function in functions.items()}
        salt["pgha_consul_acl.registrar"] = lambda: registrar
        module = loader_module("_states/pgha_consul_registrar.py", salt=salt, opts={"test": test})
        monkeypatch.setattr(module, "PATIENCE", 0)
        return module.autopilot_configured("n")

    return apply


def refuse():
    raise CommandExecutionError("no leader")


def test_first_server_sets_what_differs(state):
    changes = {"MinQuorum": {"old": 3, "new": 5}}
    for found, result in (({}, True), (changes, None)):
        ret = state(True, differences=lambda found=found: found)
        assert (ret["result"], ret["changes"]) == (result, found)
        assert ret["comment"].endswith("would be changed." if found else "is as it should be.")
        ret = state(apply=lambda found=found: found)
        assert (ret["result"], ret["changes"]) == (True, found)
        assert ret["comment"].endswith("was changed." if found else "is as it should be.")


def test_others_leave_it_to_the_first(state):
    for test in (True, False):
        ret = state(test, registrar=False)
        assert (ret["result"], ret["changes"]) == (True, {})


def test_without_a_leader_it_fails_and_a_dry_run_does_not(state):
    ret = state(apply=refuse)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "no leader" in ret["comment"]
    ret = state(True, differences=refuse)
    assert (ret["result"], ret["changes"]) == (None, {})
    assert ret["comment"] == "Autopilot's configuration would be compared, once Consul answers: no leader"
