"""What one host tells of its cluster when a part of it cannot be told."""

import ast
from pathlib import Path

import pytest
from salt.exceptions import CommandExecutionError, SaltClientError

SERVER = {"role": "dcs", "name": "dcs1"}
DATABASE = {"role": "db", "name": "db1", "cluster": {"vip": {"address": "192.0.2.40"}}}
HEALTH = {"leader": "dcs1", "members": [], "voters": [], "foreign_servers": []}

MODULES = Path(__file__).resolve().parents[2] / "salt/_modules"
# What speaks against a run, before it begins.
OF_THE_PREFLIGHT = {
    "pgha_locales.faults",
    "pgha_founding.faults",
    "pgha_preflight.store_faults",
    "pgha_backup.early_faults",
    "pgha_repository.early_faults",
}


def refused(text, kind=CommandExecutionError):
    def fail():
        raise kind(text)

    return fail


class Master:
    """In place of Salt's connection for pillars; ``gives`` is a pillar or an error."""

    def __init__(self, gives):
        self.gives, self.closed = gives, False

    def compile_pillar(self):
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    def destroy(self):
        self.closed = True


@pytest.fixture
def module(loader_module, monkeypatch):
    def build(settings, master=None, pillar=None, **over):
        asked = master or Master({})
        monkeypatch.setattr("salt.pillar.get_pillar", lambda *_, **__: asked)
        salt = {
            "pgha_restart.pending": dict,
            "pgha_tls.status": lambda: None,
            "pgha_consul.health": lambda: HEALTH,
            "pgha_consul_acl.foreign_tokens": list,
            "pgha_patroni.cluster": list,
            "pgha_patroni.member": lambda: None,
            "pgha_dynamic.undeclared": list,
            "pgha_vip.holds": lambda: True,
            "pgha_proof.due": lambda: None,
        }
        salt.update({name.replace("__", "."): function for name, function in over.items()})
        opts = {"saltenv": "base", "pillarenv": None}
        loaded = loader_module("_modules/pgha.py", salt=salt, opts=opts, pillar=pillar)
        monkeypatch.setattr(loaded, "settings", lambda: settings)
        return loaded

    return build


def test_a_host_whose_parts_all_answer_has_no_fault(module):
    assert module(SERVER).status()["faults"] == []
    told = module(DATABASE).status()
    assert told["faults"] == []
    assert told["holds_vip"] is True


def test_every_part_is_asked_with_the_pillar_of_now(module):
    remembered, master = {"pgha": {"of": "before"}, "gone": 1}, Master({"pgha": {"of": "now"}, "new": 2})
    seen = []
    loaded = module(SERVER, master, remembered, pgha_tls__status=lambda: seen.append(dict(remembered)))
    loaded.__context__["pgha.settings"] = "those of before"
    assert loaded.status()["faults"] == []
    assert seen == [{"pgha": {"of": "now"}, "new": 2}]
    assert "pgha.settings" not in loaded.__context__
    assert master.closed


def test_a_host_without_a_new_pillar_tells_its_status_by_the_old_one(module):
    remembered, master = {"pgha": {"of": "before"}}, Master(SaltClientError("Pillar timed out after 5 seconds"))
    told = module(SERVER, master, remembered).status()
    assert told["name"] == "dcs1"
    (fault,) = told["faults"]
    assert "by an older one: Pillar timed out" in fault
    assert remembered == {"pgha": {"of": "before"}}
    assert master.closed


@pytest.mark.parametrize("settings", [SERVER, DATABASE], ids=["server", "database"])
@pytest.mark.parametrize("kind", [CommandExecutionError, OSError, ValueError, KeyError])
def test_what_fails_is_told_with_the_reason_and_hides_nothing_else(module, settings, kind):
    asked = [
        "pgha_restart.pending",
        "pgha_tls.status",
        *(
            ["pgha_consul.health", "pgha_consul_acl.foreign_tokens"]
            if settings is SERVER
            else [
                "pgha_patroni.cluster",
                "pgha_patroni.member",
                "pgha_dynamic.undeclared",
                "pgha_vip.holds",
                "pgha_proof.due",
            ]
        ),
    ]
    for function in asked:
        told = module(settings, **{function.replace(".", "__"): refused("it is gone", kind)}).status()
        assert len(told["faults"]) == 1
        assert "it is gone" in told["faults"][0]
        assert kind is CommandExecutionError or told["faults"][0].startswith(f"{function} failed: {kind.__name__}: ")
        assert told["name"] == settings["name"]


def test_the_faults_of_all_functions_that_are_there_come_together(module, monkeypatch):
    loaded = module(
        DATABASE,
        one__faults=lambda: ["the first", "the second"],
        two__faults=refused("nobody knows"),
        three__faults=lambda: ["the first"],
    )
    monkeypatch.setattr(loaded, "_FAULTS", ("none.faults", "one.faults", "two.faults", "three.faults"))
    assert loaded.status()["faults"] == ["the first", "the second", "nobody knows"]


def test_every_check_of_the_status_is_there_and_none_is_left_out(module):
    """The status skips a name that no module has: on a host without that module, and by a slip of the pen."""
    public = {
        f"{path.stem}.{node.name}": node.args
        for path in MODULES.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    without_arguments = {name for name, args in public.items() if not args.args}
    asked = set(module(SERVER)._FAULTS)
    assert asked <= without_arguments
    assert {name for name in without_arguments if name.endswith((".faults", "_faults"))} <= asked | OF_THE_PREFLIGHT
    assert without_arguments >= OF_THE_PREFLIGHT
