"""The dynamic configuration: what is sent, what is taken away, what is left alone and named."""

import copy

import pghalib.patroni.dynamic
import pytest


@pytest.mark.parametrize(
    ("declared", "live", "patch"),
    [
        ({"ttl": 30}, {"ttl": 30, "other": 1}, {}),
        ({"ttl": 30}, {"ttl": 20}, {"ttl": 30}),
        ({"ttl": 30}, {}, {"ttl": 30}),
        ({"ttl": None}, {}, {}),
        ({"ttl": None}, {"ttl": 1}, {"ttl": None}),
        ({"a": {"on": "on", "n": 100}}, {"a": {"on": True, "n": "100"}}, {}),
        ({"a": {"on": "off"}}, {"a": {"on": False, "b": 1}}, {}),
        ({"a": {"on": True}}, {"a": {"on": "On"}}, {}),
        ({"a": {"text": "true"}}, {"a": {"text": "on"}}, {"a": {"text": "true"}}),
        ({"a": {"text": "%t "}}, {"a": {"text": "%t"}}, {"a": {"text": "%t "}}),
        ({"a": {"text": "%t "}}, {"a": {"text": "%t "}}, {}),
        ({"a": {"text": ""}}, {"a": {}}, {"a": {"text": ""}}),
        ({"a": {"text": ""}}, {"a": {"text": "  "}}, {"a": {"text": ""}}),
        ({"a": {"text": ""}}, {"a": {"text": ""}}, {}),
        ({"a": {"on": "off"}}, {"a": {"on": True, "b": 1}}, {"a": {"on": "off"}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": {"x": 1}}),
        ({"synchronous_mode": False}, {"synchronous_mode": "quorum"}, {"synchronous_mode": False}),
        ({"hba": ["a", "b"]}, {"hba": ["a", "b"]}, {}),
        ({"hba": ["a", "b"]}, {"hba": ["b", "a"]}, {"hba": ["a", "b"]}),
    ],
)
def test_only_what_differs_is_sent(declared, live, patch):
    assert pghalib.patroni.dynamic.differences(declared, live) == patch


def test_changes_name_each_key_with_old_and_new():
    patch, live = {"ttl": 30, "postgresql": {"parameters": {"jit": "off"}}}, {"ttl": 20}
    assert pghalib.patroni.dynamic.changes(patch, live) == {
        "ttl": {"old": 20, "new": 30},
        "postgresql.parameters.jit": {"old": None, "new": "off"},
    }


def test_changes_show_nothing_that_a_person_may_have_hidden_in_the_living_configuration():
    ldap = 'host all all 0.0.0.0/0 ldap ldapserver=x ldapbindpasswd="hunter2"'
    patch = {"postgresql": {"pg_hba": ["local all all peer", "host all all samenet scram-sha-256"]}}
    live = {"postgresql": {"pg_hba": [ldap, "local all all peer"]}}
    assert pghalib.patroni.dynamic.changes(patch, live)["postgresql.pg_hba"] == {
        "old": ["**********", "local all all peer"],
        "new": ["local all all peer", "host all all samenet scram-sha-256"],
    }


def patched(config, patch):
    """What Patroni makes of a configuration (patroni.utils.patch_config)."""
    for key, value in patch.items():
        if value is None:
            config.pop(key, None)
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            patched(config[key], value)
        elif isinstance(value, dict) or str(config.get(key)) != str(value):
            config[key] = value
    return config


def applied(live, declared):
    """The living configuration after the formula, which has nothing more to do then."""
    declared = pghalib.patroni.dynamic.with_note(declared)
    result = patched(copy.deepcopy(live), pghalib.patroni.dynamic.patch(declared, live))
    assert pghalib.patroni.dynamic.patch(declared, result) == {}
    return {key: value for key, value in result.items() if key != pghalib.patroni.dynamic.NOTE}, result


def parameters(**given):
    return {"ttl": 30, "postgresql": {"parameters": given}}


def test_what_the_formula_put_there_it_takes_away_and_nothing_else():
    found, live = applied(parameters(by_hand="1"), parameters(jit="off", work_mem="64MB"))
    assert found == parameters(by_hand="1", jit="off", work_mem="64MB")
    found, live = applied(live, parameters(jit="off"))
    assert found == parameters(by_hand="1", jit="off")
    # Now somebody else puts it there.
    live["postgresql"]["parameters"]["work_mem"] = "1MB"
    found, live = applied(live, {**parameters(), "loop_wait": 5})
    assert found == {**parameters(by_hand="1", work_mem="1MB"), "loop_wait": 5}
    found, _ = applied(live, parameters())
    assert found == parameters(by_hand="1", work_mem="1MB")


def test_what_was_there_before_there_was_a_note_stays():
    found, _ = applied(parameters(work_mem="64MB"), parameters())
    assert found == parameters(work_mem="64MB")


def test_a_null_takes_away_whoever_put_it_there_and_is_not_noted():
    found, live = applied(parameters(jit="off", by_hand="1"), parameters(jit=None))
    assert found == parameters(by_hand="1")
    live["postgresql"]["parameters"]["jit"] = "on"
    assert applied(live, parameters())[0] == parameters(by_hand="1", jit="on")


def test_of_a_mapping_nothing_is_left_behind():
    """An empty mapping in the slots would be another slot."""
    slot = {"type": "logical", "database": "one", "plugin": "pgoutput"}
    by_hand = {"slots": {"by_hand": {"type": "physical"}}}
    _, live = applied(by_hand, {"ttl": 30, "slots": {"ours": slot, "a/b~c": slot}})
    found, live = applied(live, {"ttl": 30, "slots": {"ours": slot}})
    assert found == {"ttl": 30, "slots": {"ours": slot, **by_hand["slots"]}}
    assert applied(live, {"ttl": 30})[0] == {"ttl": 30, **by_hand}
    _, live = applied({}, {"ttl": 30, "slots": {"ours": slot}})
    assert applied(live, {"ttl": 30})[0] == {"ttl": 30}


def test_a_name_with_a_dot_is_one_name():
    _, live = applied({}, parameters(**{"pg_stat_statements.max": 5000, "pg_stat_statements.track": "all"}))
    assert applied(live, parameters(**{"pg_stat_statements.track": "all"}))[0] == parameters(
        **{"pg_stat_statements.track": "all"}
    )


@pytest.mark.parametrize(
    "note", [None, 1, "ttl", [], {"declared": None}, {"declared": "ttl"}, {"declared": [1, {}, ""]}]
)
def test_a_note_that_others_have_spoilt_takes_nothing_away_and_is_mended(note):
    found, live = applied({"ttl": 30, "by_hand": 1, "pgha": note}, {"ttl": 30})
    assert found == {"ttl": 30, "by_hand": 1}
    assert live["pgha"] == {"declared": ["ttl"]}


def test_what_others_put_there_is_named():
    _, live = applied({**parameters(by_hand="1"), "pause": True}, parameters(jit="off"))
    declared = pghalib.patroni.dynamic.with_note(parameters(jit="off"))
    assert pghalib.patroni.dynamic.undeclared(declared, live) == ["postgresql.parameters.by_hand"]
    live["evil\x1b[2J"] = 1
    assert "evil?[2J" in pghalib.patroni.dynamic.undeclared(declared, live)
    assert pghalib.patroni.dynamic.undeclared(declared, None) == []


def test_changes_of_the_note_are_the_names_that_come_and_go():
    before, after = parameters(jit="off", a=1), pghalib.patroni.dynamic.with_note(parameters(a=1, b=2))
    _, live = applied({}, before)
    assert pghalib.patroni.dynamic.changes(pghalib.patroni.dynamic.patch(after, live), live) == {
        "postgresql.parameters.jit": {"old": "off", "new": None},
        "postgresql.parameters.b": {"old": None, "new": 2},
        "pgha.declared": {"old": ["postgresql/parameters/jit"], "new": ["postgresql/parameters/b"]},
    }
