"""What a failed run says at its end."""

import pytest
from salt.utils.immutabletypes import freeze

NOT_TRIED = "One or more requisite failed: x"


@pytest.fixture
def failures(loader_module):
    # As Salt hands it over.
    return lambda running: loader_module("_utils/pghalib/master/outcome.py").failures(freeze(running))


def state(result, comment="why", **more):
    return {"result": result, "comment": comment, **more}


def stage(hosts, comment="Run failed on minions"):
    return {"salt_|-A stage_|-A stage_|-state": state(False, comment, changes={"out": "highstate", "ret": hosts})}


def test_hosts_that_fail_for_one_reason_are_one_line_with_the_place_to_look(failures):
    failed = {
        "pgha_patroni_|-Patroni is configured_|-x_|-configured": state(
            False, "line one\n  line two", __id__="Patroni is configured"
        ),
        "service_|-y_|-y_|-running": state(False, NOT_TRIED, __id__="y"),
        "file_|-z_|-z_|-managed": state(True, "fine", __id__="z"),
    }
    assert failures(stage({"db2": failed, "db1": failed, "dcs1": {"a": state(True)}})) == [
        "db1, db2: Patroni is configured",
        "    line one",
        "    line two",
        "    Look there: journalctl -u patroni, and Patroni's log in patroni:log_dir",
    ]


def test_a_host_that_could_not_render_and_one_that_was_silent_are_named(failures):
    assert failures(stage({"db1": ["Rendering SLS failed:\n  here"]})) == [
        "db1: its states did not run",
        "    Rendering SLS failed:",
        "    here",
    ]
    assert failures(stage({}, "The following minions did not return: db3")) == [
        "the master: A stage",
        "    The following minions did not return: db3",
    ]


def test_a_state_of_the_master_that_is_no_stage_is_told_with_its_reason(failures):
    why = "The store of secrets cannot be written: no space.\nNothing was touched"
    running = {
        "salt_|-Ready_|-Ready_|-state": state(True, changes={"ret": {"dcs1": {"a": state(True)}}}),
        "pgha_secrets_|-It knows_|-It knows_|-settled": state(False, why, changes={}, __id__="It knows"),
        "salt_|-Next_|-Next_|-state": state(False, NOT_TRIED, changes={}),
    }
    assert failures(running) == [
        "the master: It knows",
        "    The store of secrets cannot be written: no space.",
        "    Nothing was touched",
    ]


def test_what_was_not_tried_and_what_went_well_are_not_told(failures):
    running = {"a_|-b_|-c_|-d": state(False, NOT_TRIED), "e_|-f_|-g_|-h": state(True), "i_|-j_|-k_|-l": state(None)}
    assert failures(running) == []
    assert failures({}) == []


@pytest.mark.parametrize(
    "evil", [None, 7, [], "\x1b[2J", {"x": 7}, {"x": state(False, ["\x1b", {"a": 1}])}, ["\x1b[2J"] * 1000]
)
def test_whatever_a_host_says_is_text_and_bounded(failures, evil):
    lines = failures(stage({"db1": evil, "\x1b[2J": evil}))
    assert len(lines) < 60
    assert all(line.isprintable() and len(line) < 1500 for line in lines)
