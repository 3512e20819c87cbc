"""What the master does, with the hosts' answers made up."""

import contextlib
import copy
import fcntl
import itertools

import pghalib.master.compiled
import pghalib.secrets.minted
import pghalib.secrets.pki
import pytest
import salt.client
import salt.utils.event
import shipped
from salt.exceptions import AuthenticationError, AuthorizationError, CommandExecutionError, SaltClientError

DEFAULTS = shipped.defaults()

# What `salt-run` takes for its exit code.
REFUSED = {"data": {"retcode": 1}, "outputter": "txt"}

PLAN = {"hosts": ["db1", "db2"], "datacenters": {}, "clusters": {}}


def refused(error):
    """A function that raises this error."""

    def fail(*_, **__):
        raise error

    return fail


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
                "pghalib.pillar.validate.faults": lambda *_: [],
                "pghalib.secrets.minted.missing": lambda *_: lacking(),
                "pghalib.inventory.plan": lambda _pgha: PLAN,
                "pghalib.master.report.summary": lambda _plan, told: {"told": told, "faults": list(faults)},
                "pghalib.master.report.text": lambda state: f"tables of {len(state['told'])}",
            },
        )
        monkeypatch.setattr(loaded, "_pillar", dict)
        monkeypatch.setattr(salt.client, "get_local_client", lambda **_kwargs: contextlib.nullcontext(client))
        return loaded

    return build


@pytest.mark.parametrize("cached", [False, True])
def test_a_master_that_caches_pillars_compiles_them_anew_before_the_status(runner, cached):
    client = Client(saltutil_refresh_pillar={"db1": True}, pgha_status={"db1": {"role": "db"}, "db2": "no return"})
    loaded = runner(client)
    loaded.__opts__["pillar_cache"] = cached
    state = loaded.status(form="data")
    first = [("saltutil.refresh_pillar", ["db1", "db2"])] if cached else []
    assert client.asked == [*first, ("pgha.status", ["db1", "db2"])]
    assert state["told"] == {"db1": {"role": "db"}, "db2": "no return"}


@pytest.mark.parametrize("error", [SaltClientError, AuthenticationError, AuthorizationError])
def test_a_master_that_takes_no_job_is_a_sentence_with_the_remedy(runner, monkeypatch, capsys, error):
    client = Client()
    monkeypatch.setattr(client, "cmd", refused(error("The salt master could not be contacted.\x1b[2J")))
    assert runner(client).status() == REFUSED
    said = capsys.readouterr().err
    assert said.startswith("the master takes no job (The salt master could not be contacted.?[2J)")
    assert "systemctl status salt-master" in said


@pytest.mark.parametrize("function", ["status", "watch"])
def test_a_time_that_is_no_number_is_refused_before_anybody_is_asked(runner, capsys, function):
    client = Client()
    assert getattr(runner(client), function)(timeout="abc") == REFUSED
    assert capsys.readouterr().err == "timeout=abc is no whole number from 1 to 86400\n"
    assert client.asked == []


def test_status_begins_with_what_is_wrong_with_the_store(runner):
    def lost():
        raise CommandExecutionError("The store lacks what it once had")

    client = Client(pgha_status={"db1": {}, "db2": {}})
    state = runner(client, faults=["one: no leader"], lacking=lost).status(form="data")
    assert state["faults"] == ["The store lacks what it once had", "one: no leader"]
    assert state["retcode"] == 1, "salt-run takes its exit code from this"
    assert runner(client).status(form="data")["retcode"] == 0
    state = runner(client, lacking=lambda: ["one/agents/db2"]).status(form="data")
    assert len(state["faults"]) == 1
    assert "one/agents/db2" in state["faults"][0]


def test_status_shows_tables_and_ends_with_one_when_something_is_wrong(runner, capsys):
    client = Client(pgha_status={"db1": {}, "db2": {}})
    assert runner(client).status() == "tables of 2"
    done = runner(client, faults=["one: no leader"]).status()
    # What `salt-run` takes for its exit code.
    assert done["data"] == {"retcode": 1}
    assert capsys.readouterr().out == "tables of 2\n"


@pytest.mark.parametrize(
    ("pgha", "fault"),
    [
        ({"only": "tset", "clusters": {"test": {"hosts": {"db1": "192.0.2.1"}}}}, "there is no cluster 'tset'"),
        ({"clusters": {"test": {"hosts": {"db1": "192.0.2.1"}}}}, "pgha:datacenters: must be a mapping"),
        ({}, "there is no such pillar"),
    ],
)
@pytest.mark.parametrize("function", ["status", "secrets", "renew", "authority"])
def test_a_pillar_that_cannot_work_is_told_fault_by_fault(
    loader_module, monkeypatch, tmp_path, capsys, function, pgha, fault
):
    loaded = loader_module(
        "_runners/pgha.py", salt={"salt.cmd": lambda _function: DEFAULTS}, opts={"pgha_store": str(tmp_path / "store")}
    )
    monkeypatch.setattr(loaded, "_pillar", lambda: {"pgha": pgha})
    arguments = {"authority": ("dc", "add")}.get(function, ())
    try:
        assert getattr(loaded, function)(*arguments) == REFUSED
        said = capsys.readouterr().err
    except CommandExecutionError as error:
        said = str(error)
    assert fault in said
    assert not (tmp_path / "store").exists()


PGHA = {
    "vip": {"manager": "callback"},
    "datacenters": {
        "dc": {"servers": {f"dcs{number}": f"192.0.2.{number}" for number in (1, 2, 3)}},
        "other": {"servers": {f"far{number}": f"192.0.2.{number + 100}" for number in (1, 2, 3)}},
    },
    "clusters": {
        "one": {"datacenter": "dc", "vip": "192.0.2.40/24", "hosts": {"db1": "192.0.2.11", "db2": "192.0.2.12"}},
        "two": {"datacenter": "dc", "vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13", "db4": "192.0.2.14"}},
        "far": {"datacenter": "other", "vip": "192.0.2.140/24", "hosts": {"db5": "192.0.2.15", "db6": "192.0.2.16"}},
    },
}
HOSTS = ["dcs1", "dcs2", "dcs3", "db1", "db2", "db3", "db4"]


class Deployed:
    """A master with a store of its own, and hosts that answer what ``answers`` says; ``jobs`` are its main jobs."""

    def __init__(self, loader_module, monkeypatch, tmp_path):
        self.pgha, self.answers, self.jobs, self.asked, self.retcode = copy.deepcopy(PGHA), {}, [], [], 0
        self.store = tmp_path / "store"
        self.runner = loader_module(
            "_runners/pgha.py",
            salt={"salt.cmd": lambda _function: DEFAULTS, "state.orchestrate": self.orchestrate},
            opts={"pgha_store": str(self.store)},
        )
        monkeypatch.setattr(self.runner, "_pillar", lambda: {"pgha": self.pgha})
        client = contextlib.nullcontext(self)
        monkeypatch.setattr(salt.client, "get_local_client", lambda **_: client)
        pghalib.secrets.minted.mint(self.store, self.pgha, DEFAULTS)

    def orchestrate(self, sls, pillar=None):
        self.jobs.append(sls)
        self.narrowed = pillar
        return {"retcode": self.retcode}

    def cmd(self, tgt, fun, arguments=None, **_how):
        if fun == "pgha.status":
            return {}
        assert tgt == [] or (fun, arguments) == ("pgha_tls.untrusting_services", [self.pem()])
        self.asked.append(list(tgt))
        return {host: self.answers.get(host, []) for host in tgt}

    def pem(self, datacenter="dc"):
        return self.runner.authority(datacenter, form="pem")

    def stored(self):
        return {path.name: path.read_bytes() for path in self.store.iterdir() if path.suffix == ".json"}


@pytest.fixture
def deployed(loader_module, monkeypatch, tmp_path):
    return Deployed(loader_module, monkeypatch, tmp_path)


def test_an_authority_is_changed_in_steps_each_of_which_ends_with_the_next(deployed):
    before = deployed.pem()
    for step, following in (("add", "use"), ("use", "drop"), ("drop", "add")):
        said = deployed.runner.authority("dc", step=step)
        assert f"salt-run pgha.authority dc step={following}" in said
        # What a person has begun, the status names until it is ended.
        unfinished = "\n".join(deployed.runner.status(form="data")["faults"])
        assert (f"the next step is {following}: salt-run pgha.authority dc" in unfinished) is (step != "drop")
    assert deployed.jobs == ["pgha"] * 3
    assert before not in deployed.pem()
    # The whole datacenter and nobody else, before the step and after it; the status found nobody there.
    asked = [sorted(hosts) for hosts in deployed.asked if hosts]
    assert asked == [sorted(HOSTS)] * 6


def test_where_an_authority_stands_is_shown_with_who_is_not_ready_and_nothing_is_changed(deployed):
    assert "No change is under way." in deployed.runner.authority("dc")
    deployed.runner.authority("dc", step="add")
    before, jobs = deployed.stored(), list(deployed.jobs)
    deployed.answers = {"db1": ["vip-manager was started with others"], "db3": False}
    said = deployed.runner.authority("dc")
    assert "Next step: use" in said
    assert "  - db1: vip-manager was started with others" in said
    assert "  - db3: did not answer" in said
    assert "form=pem" in said
    assert (deployed.stored(), deployed.jobs) == (before, jobs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dc", "use"), "The next step for the authority of dc is add, not use"),
        (("dc", "drop"), "The next step for the authority of dc is add, not drop"),
        (("nowhere", "add"), "There is no datacenter 'nowhere'; there is dc, other"),
        (("nowhere",), "There is no datacenter 'nowhere'; there is dc, other"),
        (("dc", "next"), "There is no step 'next'; there is add, use, drop, back"),
        (("dc", None, "yaml"), "There is no form 'yaml'; there is text, pem"),
    ],
)
def test_what_is_not_to_be_is_refused_with_one_sentence_and_nothing_is_touched(deployed, capsys, arguments, said):
    before = deployed.stored()
    assert deployed.runner.authority(*arguments) == REFUSED
    assert capsys.readouterr().err == said + "\n"
    assert (deployed.stored(), deployed.jobs, deployed.asked) == (before, [], [])


@pytest.mark.parametrize(("only", "left"), [("one", "db3, db4"), (["far"], "dcs1, dcs2, dcs3, db1, db2, db3, db4")])
def test_a_step_is_refused_while_the_main_job_would_leave_hosts_of_the_datacenter_out(deployed, capsys, only, left):
    before, deployed.pgha["only"] = deployed.stored(), only
    assert deployed.runner.authority("dc", step="add") == REFUSED
    said = capsys.readouterr().err
    assert said.startswith(f"pgha:only keeps the main job from {left}: take it out of the pillar first")
    assert (deployed.stored(), deployed.jobs, deployed.asked) == (before, [], [])
    # It is shown for all hosts, whatever the main job is narrowed to.
    deployed.runner.authority("dc")
    assert [sorted(hosts) for hosts in deployed.asked] == [sorted(HOSTS)]


def test_a_step_is_taken_when_the_main_job_reaches_the_whole_datacenter(deployed):
    deployed.pgha["only"] = ["one", "two"]
    assert "Next step: use" in deployed.runner.authority("dc", step="add")
    # A host that is off elsewhere holds nothing up that is stored already.
    assert deployed.narrowed == {"pgha": {"only": ["one", "two"]}}


def test_a_main_job_that_failed_is_told_with_what_is_done_and_what_to_do(deployed, capsys):
    deployed.retcode = 1
    assert deployed.runner.authority("dc", step="add") == REFUSED
    said = capsys.readouterr().err
    assert (
        said == "The step add is taken and stored, but the main job failed: run salt-run state.orchestrate pgha again\n"
    )
    assert deployed.runner.renew() == REFUSED


def test_a_renewal_makes_all_certificates_anew_and_brings_them(deployed):
    before = deployed.pem()
    made = deployed.runner.renew()
    assert {"dc/tls/db1", "dc/tls/db1/postgres", "other/tls/far1"} <= set(made)
    assert (deployed.jobs, deployed.pem()) == (["pgha"], before)


def test_the_next_step_of_an_authority_waits_for_every_host(deployed, capsys):
    before = deployed.stored()
    deployed.answers = {"dcs2": ["\x1b[2Jrun the main job"], "dcs3": {"a": 1}, "db1": False, "db2": False}
    assert deployed.runner.authority("dc", step="add") == REFUSED
    said = capsys.readouterr().err
    assert "dcs1" not in said
    assert "dcs2: ?[2Jrun the main job" in said
    assert "dcs3: answered nonsense (all of it)" in said
    assert "db1, db2: did not answer" in said
    assert (deployed.stored(), deployed.jobs) == (before, [])


def test_where_no_certificate_is_made_anew_nothing_runs(deployed, monkeypatch):
    monkeypatch.setattr(pghalib.secrets.minted, "mint", lambda *_, **_how: [])
    assert (deployed.runner.renew(), deployed.jobs) == ([], [])


def test_without_a_stored_authority_the_remedy_is_told_and_no_empty_file(deployed, capsys):
    (deployed.store / "tls-dc.json").unlink()
    for arguments in ({"form": "pem"}, {}):
        assert deployed.runner.authority("dc", **arguments) == REFUSED
        said = capsys.readouterr().err
        assert said == "No authority is stored for dc: run salt-run state.orchestrate pgha\n"


def test_the_pillar_of_now_is_asked_and_one_that_does_not_render_is_told(loader_module, capsys):
    def pillar(opts, fresh=False):
        raise CommandExecutionError(f"The pillar of {opts['id']} does not render, {'fresh' if fresh else 'kept'}")

    loaded = loader_module("_runners/pgha.py", utils={"pghalib.master.compiled.pillar": pillar})
    assert loaded.status() == REFUSED
    assert capsys.readouterr().err == "The pillar of a-host does not render, fresh\n"


@pytest.mark.parametrize("cached", [True, False])
def test_the_compiled_pillar_is_without_the_command_line_and_its_faults_are_told(monkeypatch, cached):
    asked, errors = [], []

    class Source:
        def __init__(self, opts, grains, minion_id, saltenv, **how):
            asked.append((set(opts), grains["id"], minion_id, saltenv, how))

        def compile_pillar(self):
            return {"pgha": {}, "_errors": errors}

    monkeypatch.setattr("salt.pillar.get_pillar", Source)
    opts = {"id": "m", "pillar": {"pgha": {"only": "one"}}, "grains": {"id": "x"}, "pillar_cache": cached}
    for fresh in (True, False):
        assert pghalib.master.compiled.pillar(opts, fresh)["pgha"] == {}
        how = {"clean_cache": True} if cached and fresh else {}
        assert asked.pop() == ({"id", "grains", "pillar_cache"}, "m", "m", "base", how)
    errors += ["Rendering SLS 'a' failed", "two\nlines"]
    with pytest.raises(CommandExecutionError, match=r"own id \(m\) does not render: Rendering SLS 'a' failed; "):
        pghalib.master.compiled.pillar(opts)


class Bus:
    """The events of a master, (line, end) each, as ``pghalib.master.watching.progress`` finds them in one."""

    def __init__(self, *events):
        self.events = itertools.chain(events, itertools.repeat(None))

    def get_event(self, **_how):
        return next(self.events)


@pytest.fixture
def watch(loader_module, monkeypatch, tmp_path):
    """A function (*events, timeout=5): watches a master with these events."""

    def build(*events, timeout=5):
        loaded = loader_module(
            "_runners/pgha.py",
            opts={"sock_dir": "/run", "pgha_store": str(tmp_path)},
            utils={"pghalib.master.watching.progress": lambda event, jobs: event},
        )

        def connect(_opts, sock_dir, listen=False):
            # A bus that does not listen has no events.
            return contextlib.nullcontext(Bus(*events) if (sock_dir, listen) == ("/run", True) else Bus())

        monkeypatch.setattr(salt.utils.event, "get_master_event", connect)
        return loaded.watch(timeout=timeout)

    return build


def test_a_run_is_watched_to_its_end_line_by_line(watch, capsys):
    end = (None, True)
    assert watch(("pgha.dcs: started", None), None, (None, None), end, ("of the next", None)) == (
        "The orchestration has ended well."
    )
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(" s  pgha.dcs: started")


@pytest.mark.parametrize(
    ("events", "timeout", "said"),
    [
        ([(None, False)], 5, "The orchestration failed; its own output says where and why\n"),
        ([], 1, "No orchestration ended within 1 s\n"),
    ],
)
def test_a_run_that_failed_or_never_ended_is_no_good_end(watch, capsys, events, timeout, said):
    assert watch(*events, timeout=timeout) == REFUSED
    assert capsys.readouterr().err == said


def test_an_end_that_a_minion_invents_is_none_while_the_orchestration_holds_its_lock(watch, capsys, tmp_path):
    with (tmp_path / ".orchestration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert watch((None, True), ("pgha.db: started", None), (None, False), timeout=1) == REFUSED
        assert capsys.readouterr().err == "No orchestration ended within 1 s\n"
    assert watch((None, True), ("pgha.db: started", None), (None, True)) == "The orchestration has ended well."


def test_a_datacenter_whose_authority_is_lost_does_not_hide_the_change_of_another(deployed):
    pghalib.secrets.pki.rotate(deployed.store, deployed.pgha, DEFAULTS, "other", "add")
    (deployed.store / "tls-dc.json").unlink()
    lost, unfinished = deployed.runner.status(form="data")["faults"][:2]
    assert "dc/tls/authority, made 20" in lost
    assert unfinished.startswith("other: the change of its authority is not ended")
