"""What the master does, with the hosts' answers made up."""

import contextlib
from pathlib import Path

import pytest
import yaml
from salt.exceptions import CommandExecutionError

DEFAULTS = yaml.safe_load((Path(__file__).resolve().parents[2] / "salt/pgha/defaults.yaml").read_text())

PLAN = {"hosts": ["db1", "db2"], "datacenters": {}, "clusters": {}}


class Client:
    """In place of Salt's client: answers by function and host, and remembers who was asked what."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def cmd(self, tgt, fun, **_how):
        self.asked.append((fun, list(tgt)))
        return {host: self.answers[fun.replace(".", "_")].get(host, False) for host in tgt}


@pytest.fixture
def runner(loader_module, monkeypatch):
    def build(client, faults=(), lacking=list):
        loaded = loader_module(
            "_runners/pgha.py",
            salt={"salt.cmd": lambda _function: DEFAULTS},
            utils={
                "pgha_validate.faults": lambda _pgha, _defaults: [],
                "pgha_secrets.missing": lambda *_: lacking(),
                "pgha_inventory.plan": lambda _pgha: PLAN,
                "pgha_report.summary": lambda _plan, told: {"told": told, "faults": list(faults)},
                "pgha_report.text": lambda state: f"tables of {len(state['told'])}",
            },
        )
        monkeypatch.setattr(loaded, "_pillar", dict)
        monkeypatch.setattr(
            loaded.salt.client, "get_local_client", lambda **_kwargs: contextlib.nullcontext(client), raising=False
        )
        return loaded

    return build


def test_status_is_asked_of_hosts_that_have_the_pillar_of_now(runner):
    client = Client(saltutil_refresh_pillar={"db1": True, "db2": "no return"}, pgha_status={"db1": {"role": "db"}})
    state = runner(client).status(form="data")
    assert client.asked == [("saltutil.refresh_pillar", ["db1", "db2"]), ("pgha.status", ["db1"])]
    assert state["told"] == {"db1": {"role": "db"}, "db2": "no return"}


def test_status_begins_with_what_is_wrong_with_the_store(runner):
    def lost():
        raise CommandExecutionError("The store lacks what it once had")

    client = Client(saltutil_refresh_pillar={"db1": True, "db2": True}, pgha_status={"db1": {}, "db2": {}})
    state = runner(client, faults=["one: no leader"], lacking=lost).status(form="data")
    assert state["faults"] == ["The store lacks what it once had", "one: no leader"]
    state = runner(client, lacking=lambda: ["one/agents/db2"]).status(form="data")
    assert len(state["faults"]) == 1
    assert "one/agents/db2" in state["faults"][0]


def test_status_shows_tables_and_ends_with_one_when_something_is_wrong(runner, capsys):
    everyone = {"db1": True, "db2": True}
    client = Client(saltutil_refresh_pillar=everyone, pgha_status={"db1": {}, "db2": {}})
    assert runner(client).status() == "tables of 2"
    done = runner(client, faults=["one: no leader"]).status()
    # What `salt-run` takes for its exit code.
    assert done["data"] == {"retcode": 1}
    assert capsys.readouterr().out == "tables of 2\n"


def test_status_names_a_host_that_refreshed_and_then_fell_silent(runner):
    client = Client(saltutil_refresh_pillar={"db1": True, "db2": True}, pgha_status={"db1": {"role": "db"}})
    told = runner(client).status(form="data")["told"]
    assert told == {"db1": {"role": "db"}, "db2": False}


@pytest.mark.parametrize(
    ("pgha", "fault"),
    [
        ({"only": "tset", "clusters": {"test": {"hosts": {"db1": "192.0.2.1"}}}}, "there is no cluster 'tset'"),
        ({"clusters": {"test": {"hosts": {"db1": "192.0.2.1"}}}}, "pgha:datacenters: must be a mapping"),
        ({}, "there is no such pillar"),
    ],
)
@pytest.mark.parametrize("function", ["status", "secrets", "renew", "authority"])
def test_a_pillar_that_cannot_work_is_told_fault_by_fault(loader_module, monkeypatch, tmp_path, function, pgha, fault):
    loaded = loader_module(
        "_runners/pgha.py", salt={"salt.cmd": lambda _function: DEFAULTS}, opts={"pgha_store": str(tmp_path / "store")}
    )
    monkeypatch.setattr(loaded, "_pillar", lambda: {"pgha": pgha})
    arguments = {"authority": ("dc", "add")}.get(function, ())
    with pytest.raises(CommandExecutionError, match=fault):
        getattr(loaded, function)(*arguments)
    assert not (tmp_path / "store").exists()


def test_the_next_step_of_an_authority_waits_for_every_host(runner):
    plan = {"datacenters": {"dc": ["dcs1", "dcs2", "dcs3", "dcs4"]}, "clusters": {}}
    client = Client(pgha_tls_behind={"dcs1": [], "dcs2": ["\x1b[2Jrun the main job"], "dcs3": {"a": 1}})
    client.cmd = lambda tgt, fun, _arguments, **how: Client.cmd(client, tgt, fun, **how)
    loaded = runner(client)
    loaded.__utils__["pgha_inventory.plan"] = lambda _pgha: plan
    with pytest.raises(CommandExecutionError) as caught:
        loaded._all_trust("PEM", "dc", {})
    said = str(caught.value)
    assert "dcs1" not in said
    assert "dcs2: ?[2Jrun the main job" in said
    assert "dcs3: answered nonsense (all of it)" in said
    assert "dcs4: did not answer" in said
