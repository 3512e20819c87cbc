"""What the master does, with the hosts' answers made up."""

import contextlib

import pytest

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
    def build(client, faults=()):
        loaded = loader_module(
            "_runners/pgha.py",
            utils={
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


def test_status_shows_tables_and_ends_with_one_when_something_is_wrong(runner, capsys):
    everyone = {"db1": True, "db2": True}
    client = Client(saltutil_refresh_pillar=everyone, pgha_status={"db1": {}, "db2": {}})
    assert runner(client).status() == "tables of 2"
    done = runner(client, faults=["one: no leader"]).status()
    # What `salt-run` takes for its exit code.
    assert done["data"] == {"retcode": 1}
    assert capsys.readouterr().out == "tables of 2\n"
