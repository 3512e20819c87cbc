"""The dynamic configuration: what is sent, what is taken away, what is left alone and named."""

import copy
import json

import pghalib.patroni.dynamic
import pytest
from salt.exceptions import CommandExecutionError


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


CONF = """# Do not edit this file manually!
include 'postgresql.base.conf'

archive_command = '/bin/true'
listen_addresses = '0.0.0.0'
log_line_prefix = '%t [%p]: it''s C:\\\\x '
wal_keep_size = '128MB'
work_mem = '4MB'
wal_log_hints = 'on'
"""


def live(noted=(), **parameters):
    """A dynamic configuration with these parameters, of which the formula has put some there."""
    names = [f"postgresql/parameters/{name}" for name in noted]
    return {"pgha": {"declared": names}, "postgresql": {"parameters": parameters}}


@pytest.mark.parametrize(
    ("parameters", "own", "names"),
    [
        ({"archive_command": "/bin/true", "work_mem": "4MB", "wal_log_hints": True}, {}, []),
        ({"archive_command": "x %p", "work_mem": "5MB"}, {}, ["archive_command", "work_mem"]),
        ({"Work_Mem": "5MB"}, {}, ["Work_Mem"]),
        ({"work_mem": "5MB"}, {"WORK_MEM": "4MB"}, []),
        ({"log_line_prefix": "%t [%p]: it's C:\\x "}, {}, []),
        ({"log_line_prefix": "%t [%p]: it's C:\\x"}, {}, ["log_line_prefix"]),
        # Patroni takes a value of its own where it does not like this one.
        ({"wal_keep_size": "0", "max_connections": 5}, {}, []),
        # Patroni leaves out what the server does not know, and a null is none.
        ({"autovacum": "on", "work_mem": None}, {}, []),
    ],
)
def test_a_value_that_was_passed_over_is_seen_in_the_file(parameters, own, names):
    assert pghalib.patroni.dynamic.unwritten(live(**parameters), CONF, own) == names
    noted = live(noted=["work_mem"], **parameters)
    found = pghalib.patroni.dynamic.unwritten(noted, CONF, own, formulas=True)
    assert found == [name for name in names if name == "work_mem"]
    checked = live(["wal_keep_size"], wal_keep_size="0")
    assert pghalib.patroni.dynamic.unwritten(checked, CONF, {}, formulas=True) == []
    assert pghalib.patroni.dynamic.unwritten(live(["jit"], jit="on"), CONF, {}) == ["jit"]


@pytest.fixture
def member(loader_module, tmp_path):
    """A function: the module on a member of these parameters, which Patroni has heard of or not."""

    def build(heard=True, state="running", **parameters):
        (tmp_path / "postgresql.conf").write_text(CONF)
        (tmp_path / "patroni.yml").write_text("postgresql: {parameters: {shared_buffers: 1GB}}")
        config = live(noted=parameters, **parameters)
        (tmp_path / "patroni.dynamic.json").write_text(json.dumps(config if heard else {}))
        place = {"postgres": {"data_dir": str(tmp_path)}, "patroni": {"config_dir": str(tmp_path), "loop_wait": 1}}
        salt = {
            "pgha.settings": lambda: {"role": "db", **place},
            "pgha_patroni.member": lambda: {"state": state},
            "pgha_patroni.dynamic_config": lambda: config,
        }
        return loader_module("_modules/pgha_dynamic.py", salt=salt)

    return build


def test_the_status_names_what_was_passed_over_and_nothing_that_is_on_its_way(member):
    assert member(work_mem="4MB").faults() == []
    assert member(work_mem="5MB").faults() == [
        "PostgreSQL here has not been given work_mem as the DCS has it: systemctl reload patroni"
    ]
    assert member(heard=False, work_mem="5MB").faults() == []
    assert member(state="starting", work_mem="5MB").faults() == []


def test_the_file_is_looked_at_where_it_is(member, tmp_path):
    module = member(work_mem="5MB")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "patroni.yml").write_text(f"postgresql: {{config_dir: {tmp_path}/elsewhere}}")
    assert module.unwritten() == [], "Patroni has not written it yet"
    (tmp_path / "elsewhere/postgresql.conf").write_text(CONF)
    (tmp_path / "postgresql.conf").unlink()
    assert module.unwritten() == ["work_mem"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"), ("a: 2024-13-45", "is no YAML"), ("[" * 9000, "is no YAML"), ("[1]", "is no mapping"),
        ("postgresql: 7", "is no mapping"), ("postgresql:", "is no mapping"),
    ],
)  # fmt: skip
def test_a_configuration_of_patroni_that_is_damaged_is_an_error(member, tmp_path, text, said):
    module = member()
    (tmp_path / "patroni.yml").write_text(text)
    with pytest.raises(CommandExecutionError, match=f"patroni.yml {said}.*: the main job writes it anew"):
        module.unwritten()


def test_a_copy_that_is_not_there_or_no_json_is_an_error(member, tmp_path):
    module = member()
    for text in ("{", "", "[" * 9000):
        (tmp_path / "patroni.dynamic.json").write_text(text)
        with pytest.raises(CommandExecutionError, match="is not JSON"):
            module.taken_up()
        assert module.loop() == 1
    (tmp_path / "patroni.dynamic.json").unlink()
    with pytest.raises(CommandExecutionError, match="is not there"):
        module.taken_up()


@pytest.mark.parametrize(
    ("copy", "seconds"),
    [
        ({"loop_wait": 10}, 10),
        *((odd, 1) for odd in ({"loop_wait": 0}, {}, [], {"loop_wait": "9"}, {"loop_wait": 10**9})),
    ],
)
def test_a_loop_is_as_long_as_the_one_that_patroni_has_heard_of(member, tmp_path, copy, seconds):
    module = member()
    (tmp_path / "patroni.dynamic.json").write_text(json.dumps(copy))
    assert module.loop() == seconds
    (tmp_path / "patroni.dynamic.json").unlink()
    assert module.loop() == 1


@pytest.mark.parametrize(
    ("loops", "test", "result", "woken", "said"),
    [
        ([1], False, True, 0, "works by the declared timing"),
        ([10, 10, 10, 1], False, True, 1, "has taken the declared timing up"),
        ([10], True, True, 0, "would be asked"),
        ([0.01, 0.01, 0.01], False, True, 0, "works by the declared timing"),
    ],
)
def test_the_guard_waits_for_a_patroni_that_has_a_longer_loop(loader_module, loops, test, result, woken, said):
    calls = []
    salt = {
        "pgha.settings": lambda: {"patroni": {"loop_wait": 1}},
        "pgha_dynamic.loop": lambda: loops.pop(0) if len(loops) > 1 else loops[0],
        "pgha_patroni.wake": lambda: calls.append(1),
    }
    ret = loader_module("_states/pgha_member.py", salt=salt, opts={"test": test}).in_step("x")
    assert (ret["result"], ret["changes"], len(calls)) == (result, {}, woken)
    assert said in ret["comment"]


def test_a_patroni_that_does_not_hear_keeps_the_guard_as_it_is(loader_module):
    salt = {
        "pgha.settings": lambda: {"patroni": {"loop_wait": 0.01}},
        "pgha_dynamic.loop": lambda: 0.1,
        "pgha_patroni.wake": lambda: True,
    }
    ret = loader_module("_states/pgha_member.py", salt=salt, opts={"test": False}).in_step("x")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "Patroni has taken up the declared timing" in ret["comment"]


@pytest.fixture
def state(loader_module):
    """A function: the state on a member that writes at the n-th question, or after a reload."""

    def build(asked=10**9, test=False, reload_helps=True):
        done = {"asked": 0, "reloads": 0}

        def unwritten(formulas):
            assert formulas
            done["asked"] += 1
            return [] if done["asked"] > asked or (reload_helps and done["reloads"]) else ["archive_command"]

        def reload(unit):
            assert unit == "patroni"
            done["reloads"] += 1

        salt = {
            "pgha_patroni.member": lambda: {"state": "running"},
            "pgha_dynamic.loop": lambda: 1,
            "pgha_dynamic.unwritten": unwritten,
            "pgha_dynamic.taken_up": lambda: True,
            "service.reload": reload,
        }
        module = loader_module("_states/pgha_postgres.py", salt=salt, opts={"test": test})
        return module.parameters_written("x"), done["reloads"]

    return build


def test_patroni_is_told_once_more_only_when_it_has_passed_a_parameter_over(state):
    ret, reloads = state(asked=0)
    assert (ret["result"], ret["changes"], reloads) == (True, {}, 0)
    ret, reloads = state(asked=3)
    assert (ret["result"], ret["changes"], reloads) == (True, {}, 0)
    ret, reloads = state()
    assert (ret["result"], list(ret["changes"]), reloads) == (True, ["archive_command"], 1)
    ret, reloads = state(reload_helps=False)
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "PostgreSQL has not been given archive_command" in ret["comment"]
    ret, reloads = state(test=True)
    assert (ret["result"], list(ret["changes"]), reloads) == (None, ["archive_command"], 0)
