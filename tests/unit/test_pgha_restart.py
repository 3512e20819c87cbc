"""The rolling restart: the order of the turns, what waits on a host, and the states that restart it."""

import hashlib
import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import pghalib.services
import pytest
from salt.exceptions import CommandExecutionError

PLAN = {
    "hosts": ["dcs1", "dcs2", "dcs3", "db1", "db2", "db3"],
    "datacenters": {"dc": ["dcs1", "dcs2", "dcs3"]},
    "clusters": {"one": ["db1", "db2", "db3"]},
}
MAX_CONNECTIONS = {"max_connections": {"old_value": "100", "new_value": "150"}}


class TestOrder:
    @pytest.fixture
    def util(self, loader_module):
        return loader_module("_utils/pghalib/master/turns.py")

    @pytest.fixture
    def told(self):
        """What hosts say where everything waits: dcs1 and db1 lead, db2 is the synchronous replica."""

        def one(host):
            services = ["Consul"] if "dcs" in host else ["Consul", "Patroni"]
            pending = {service: ["a setting has changed"] for service in services}
            return {"pending": pending, "leads": host[-1] == "1", "synchronous": host == "db2", "lowered": {}}

        return {host: one(host) for host in PLAN["hosts"]}

    def test_leaders_are_last_and_synchronous_replicas_after_the_others(self, util, told):
        turns = util.order(PLAN, told)
        assert [turn["host"] for turn in turns] == ["dcs2", "dcs3", "dcs1", "db3", "db2", "db1"]
        assert turns[0] == {"host": "dcs2", "sls": ["pgha.consul.restart"], "what": "Consul"}
        assert turns[-1]["sls"] == ["pgha.patroni.restart", "pgha.consul.restart", "pgha.vip.restart"]
        assert turns[-1]["what"] == "Consul, Patroni"

    def test_only_those_with_something_pending_have_a_turn(self, util, told):
        for host in PLAN["hosts"][1:]:
            told[host]["pending"] = {}
        assert [turn["host"] for turn in util.order(PLAN, told)] == ["dcs1"]
        told["dcs1"]["pending"] = {}
        assert util.order(PLAN, told) == []

    def test_lowered_parameters_turn_the_order_round(self, util, told):
        told["db1"]["lowered"] = told["db2"]["lowered"] = {"max_connections": {"old": "150", "new": "100"}}
        turns = [(turn["host"], turn["sls"]) for turn in util.order(PLAN, told)[3:]]
        assert turns[0] == ("db1", ["pgha.patroni.lower"])
        assert [host for host, _ in turns[1:]] == ["db3", "db2", "db1"]

    @pytest.mark.parametrize(
        ("name", "old", "new", "counts"),
        [
            ("max_connections", "150", "100", True),
            ("max_connections", "100", "150", False),
            ("max_connections", "100", "100", False),
            ("max_wal_senders", "20", "9", True),
            ("shared_buffers", "256MB", "128MB", False),
        ],
    )
    def test_lowered_are_those_that_a_standby_needs(self, util, name, old, new, counts):
        found = util.lowered({name: {"old_value": old, "new_value": new}})
        assert found == ({name: {"old": old, "new": new}} if counts else {})

    @pytest.mark.parametrize("odd", ["?", None, "", "abc", True, "99.5", 99.5, [], {}])
    def test_what_is_no_whole_number_is_not_lowered(self, util, odd):
        for old, new in (("100", odd), (odd, "1"), (odd, odd)):
            assert util.lowered({"max_connections": {"old_value": old, "new_value": new}}) == {}

    def test_a_value_that_is_not_known_hides_no_other(self, util):
        unknown, known = {"old_value": "100", "new_value": "?"}, {"old_value": "20", "new_value": "9"}
        found = util.lowered({"max_connections": unknown, "max_wal_senders": known})
        assert found == {"max_wal_senders": {"old": "20", "new": "9"}}


@pytest.fixture
def host(loader_module, tmp_path, monkeypatch):
    """A function (role) -> the execution module of a host, with ``salt``, ``members`` and ``consul`` to set."""

    def build(role="db"):
        hosts = [{"id": f"db{n}", "name": f"db{n}", "address": f"198.51.100.2{n}"} for n in (1, 2, 3)]
        servers = [{"id": f"dcs{n}", "name": f"dcs{n}", "address": f"198.51.100.1{n}"} for n in (1, 2, 3)]
        me = hosts[0] if role == "db" else servers[0]
        settings = {
            **me,
            "role": role,
            "datacenter": {"name": "dc", "servers": servers},
            "cluster": {"name": "one", "hosts": hosts} if role == "db" else None,
            "postgres": {"data_dir": str(tmp_path), "bin_dir": str(tmp_path)},
            "patroni": {"venv": str(tmp_path), "config_dir": str(tmp_path), "loop_wait": 0.1},
        }
        replica = {"role": "replica", "state": "running", "replication_state": "streaming"}
        members = {one["address"]: dict(replica) for one in hosts}
        members[hosts[0]["address"]] = {"role": "primary", "state": "running"}
        health = [{"name": one["name"], "voter": True, "healthy": True, "index": 7} for one in servers]
        consul = {"/v1/agent/self": {"Stats": {"raft": {"applied_index": "7"}}}}
        salt = {
            "pgha.settings": lambda: settings,
            "service.status": lambda _unit: True,
            "pgha_consul.restart_pending": list,
            "pgha_consul.leader": lambda: "198.51.100.11:8300",
            "pgha_consul.autopilot": lambda: {"servers": health},
            "pgha_consul.registered": lambda: True,
            "pgha_patroni.member": lambda address=None: members[address or me["address"]],
            "pgha_patroni.dcs": lambda: {"leader": "db1"},
            "pgha_patroni.dynamic_config": lambda: {"ttl": 30},
            "pgha_vip.restart_pending": lambda: None,
        }
        asked = []

        def ask(_settings, _secrets, method, path, **_kwargs):
            asked.append((method, path))
            return {"status": 200 if path in consul else 404, "body": consul.get(path)}

        module = loader_module("_modules/pgha_restart.py", salt=salt, utils={"pghalib.consul.client.ask": ask})
        monkeypatch.setattr(pghalib.services, "DIRECTORY", str(tmp_path))
        monkeypatch.setattr(pghalib.services, "UNITS", str(tmp_path))
        module.salt, module.members, module.health, module.consul, module.asked = salt, members, health, consul, asked
        module.place = tmp_path
        return module

    return build


class TestHost:
    def started(self, module):
        """The process runs what is on the disk."""
        lines = []
        for path in (module.place / "patroni.service", module.place / ".pgha-requirements"):
            path.write_text(path.name)
            lines.append(f"{hashlib.sha256(path.name.encode()).hexdigest()}  {path}\n")
        (module.place / "patroni.started-with").write_text("".join(lines))

    def test_nothing_is_pending_where_everything_runs_as_it_is_there(self, host):
        module = host()
        self.started(module)
        assert module.pending() == {}

    def test_what_is_pending_is_told_by_service(self, host):
        module = host()
        self.started(module)
        (module.place / ".pgha-requirements").write_text("newer")
        module.members["198.51.100.21"]["pending_restart_reason"] = MAX_CONNECTIONS
        module.salt["pgha_vip.restart_pending"] = lambda: ["/etc/vip-manager/vip-manager.yml"]
        module.salt["pgha_consul.restart_pending"] = lambda: ["changed settings: domain"]
        assert module.pending() == {
            "Consul": ["changed settings: domain"],
            "Patroni": [f"{module.place}/.pgha-requirements has changed"],
            "PostgreSQL": ["max_connections is 100, to be 150"],
            "vip-manager": ["/etc/vip-manager/vip-manager.yml has changed"],
        }
        assert module.lowered() == {}

    def test_a_server_whose_package_was_updated_waits_for_a_restart(self, host):
        module = host()
        self.started(module)
        program = module.place / "postgres"
        shutil.copy("/bin/sleep", program)
        with subprocess.Popen([program, "60"], cwd=module.place) as server:
            try:
                (module.place / "postmaster.pid").write_text(f"{server.pid}\n{module.place}\n")
                assert module.pending() == {}
                program.unlink()
                shutil.copy("/bin/sleep", program)
                assert module.pending() == {"PostgreSQL": [f"{program} has been replaced since it was started"]}
                assert module.lowered() == {}
            finally:
                server.kill()

    def test_a_value_that_patroni_could_not_ask_for_is_pending_and_not_lowered(self, host):
        module = host()
        self.started(module)
        reason = {"max_connections": {"old_value": "100", "new_value": "?"}}
        module.members["198.51.100.21"]["pending_restart_reason"] = reason
        assert module.pending() == {"PostgreSQL": ["max_connections is 100, to be ?"]}
        assert module.lowered() == {}

    def test_a_process_whose_start_noted_nothing_is_older_than_its_unit(self, host):
        module = host()
        (module.place / "patroni.service").write_text("x")
        assert f"{module.place}/patroni.service has changed" in module.pending()["Patroni"]
        module.salt["service.status"] = lambda _unit: False
        assert "Patroni" not in module.pending()

    def test_standing_waits_until_patroni_has_taken_up_what_was_changed_a_moment_ago(self, host):
        module = host()
        self.started(module)
        config = module.place / "patroni.yml"
        module.salt["pgha_dynamic.taken_up"] = lambda: False
        module.salt["pgha_dynamic.loop"] = lambda: 0.1
        config.touch()
        os.utime(config, (0, time.time() - 60))
        with pytest.raises(CommandExecutionError, match="Patroni has taken up its configuration"):
            module.facts()
        module.salt["pgha_dynamic.taken_up"] = lambda: True
        assert module.facts() == {"pending": {}, "leads": True, "synchronous": False, "lowered": {}}
        os.utime(config)
        with pytest.raises(CommandExecutionError, match="Patroni has taken up its configuration"):
            module.facts()
        config.unlink()
        with pytest.raises(CommandExecutionError, match=r"patroni\.yml is not there"):
            module.facts()

    def test_standing_of_a_server_of_consul(self, host):
        assert host("dcs").facts() == {"pending": {}, "leads": True, "synchronous": False, "lowered": {}}

    def test_servers_of_consul_are_ready_when_all_vote_and_this_one_has_caught_up(self, host):
        module = host("dcs")
        assert module.consul_ready() is True
        module.health[1]["index"] = 9
        with pytest.raises(CommandExecutionError, match="up to 7 of 9"):
            module.consul_ready()
        module.health[2]["healthy"] = False
        with pytest.raises(CommandExecutionError, match="dcs3 has no vote, or is not healthy"):
            module.consul_ready()
        del module.health[2]
        with pytest.raises(CommandExecutionError, match="dcs3 has no vote"):
            module.consul_ready()

    def test_agents_are_ready_when_they_are_registered_and_see_the_leader(self, host):
        module = host()
        assert module.consul_ready() is True
        module.salt["pgha_patroni.dcs"] = lambda: {"leader": None}
        with pytest.raises(CommandExecutionError, match="no leader"):
            module.consul_ready()
        module.salt["pgha_consul.registered"] = lambda: False
        with pytest.raises(CommandExecutionError, match="not registered"):
            module.consul_ready()

    def test_a_leader_of_consul_hands_over_where_its_version_can(self, host):
        module = host("dcs")
        assert module.consul_handed_over(1) is False
        assert module.asked == [("POST", "/v1/operator/raft/transfer-leader")]
        module.consul["/v1/operator/raft/transfer-leader"] = {"Success": True}
        leaders = ["198.51.100.11:8300", "", "198.51.100.11:8300", "198.51.100.12:8300", "198.51.100.12:8300"]
        module.salt["pgha_consul.leader"] = lambda: leaders.pop(0)
        assert module.consul_handed_over(1) is True
        module.salt["pgha_consul.leader"] = lambda: "198.51.100.12:8300"
        assert module.consul_handed_over(1) is False

    def test_others_serve(self, host):
        module = host()
        assert module.others_serve() is True
        module.members["198.51.100.21"] = {"state": "stopped"}
        assert module.others_serve() is True

    @pytest.mark.parametrize(
        ("address", "over", "said"),
        [
            (
                "22",
                {"replication_state": "in archive recovery"},
                "db2 .*is running, replication is in archive recovery",
            ),
            ("23", {"state": "starting"}, "db3 .*is starting"),
            ("21", {"pause": True}, "patronictl resume"),
            ("23", None, "db3 does not answer"),
        ],
    )
    def test_others_that_do_not_serve_are_named(self, host, address, over, said):
        module = host()
        address = f"198.51.100.{address}"
        module.members[address] = None if over is None else {**module.members[address], **over}
        with pytest.raises(CommandExecutionError, match=said):
            module.others_serve()


@pytest.fixture
def states(loader_module):
    """A host: ``apply(state, test=…)``, ``pending``, ``leads`` and ``salt`` to set, and what was ``done``."""
    host = SimpleNamespace(pending={}, leads=False, done=[], streams=True)
    hosts = ["db1", "db2", "db3"]
    settings = {
        "name": "db1",
        "consul": {"startup_timeout": 0.2},
        "patroni": {"startup_timeout": 0.2},
        "cluster": {"hosts": hosts},
    }

    def service(unit):
        host.done.append(f"restart {unit}")
        host.pending.clear()
        return True

    def post(what, _timeout, **details):
        host.done.append((what, details))
        if what == "switchover":
            host.leads = False
        host.pending.pop("PostgreSQL", None)
        return "done"

    def streaming(_name, _timeout):
        host.done.append("streams")
        return {"result": host.streams, "comment": "the log ends with"}

    host.salt = {
        "pgha.settings": lambda: settings,
        "pgha_restart.pending": lambda: dict(host.pending),
        "pgha_restart.leads_by_consul": lambda: host.leads,
        "pgha_restart.lowered": dict,
        "pgha_restart.consul_ready": lambda: host.done.append("ready") or True,
        "pgha_restart.consul_handed_over": lambda _timeout: host.leads,
        "pgha_restart.others_serve": lambda: host.done.append("others") or True,
        "pgha_parameters.last_words": lambda: ["FATAL: could not access file"],
        "pgha_patroni.post": post,
        "service.restart": service,
    }
    host.hosts = hosts

    def apply(name, test=False):
        state = {"pgha_patroni.streaming": streaming}
        module = loader_module("_states/pgha_restart.py", salt=host.salt, opts={"test": test}, states=state)
        return getattr(module, name)("a sentence")

    host.apply = apply
    return host


class TestStates:
    @pytest.mark.parametrize("name", ["consul", "patroni", "lowered"])
    @pytest.mark.parametrize("test", [True, False])
    def test_nothing_is_restarted_without_something_pending(self, states, name, test):
        states.pending = {"vip-manager": ["not mine"]}
        ret = states.apply(name, test)
        assert (ret["result"], ret["changes"], states.done) == (True, {}, [])

    @pytest.mark.parametrize(("name", "service"), [("consul", "Consul"), ("patroni", "PostgreSQL")])
    def test_a_dry_run_tells_and_touches_nothing(self, states, name, service):
        states.pending = {service: ["a", "b"]}
        ret = states.apply(name, test=True)
        assert (ret["result"], ret["changes"]) == (None, {service: {"old": "a; b", "new": "restarted"}})
        assert states.done == []

    def test_consul_is_restarted_between_two_gates(self, states):
        states.pending, states.leads = {"Consul": ["a"]}, True
        ret = states.apply("consul")
        assert (ret["result"], states.done) == (True, ["ready", "restart consul", "ready"])
        assert "another server had taken the lead" in ret["comment"]

    def test_consul_is_left_alone_while_the_others_cannot_do_without_it(self, states):
        def refuse():
            raise CommandExecutionError("dcs2 is not healthy")

        states.pending, states.salt["pgha_restart.consul_ready"] = {"Consul": ["a"]}, refuse
        ret = states.apply("consul")
        assert (ret["result"], ret["changes"], states.done) == (False, {}, [])
        assert "dcs2 is not healthy" in ret["comment"]

    def test_a_replica_gets_its_postgresql_restarted_by_patroni(self, states):
        states.pending = {"PostgreSQL": ["a"]}
        ret = states.apply("patroni")
        assert states.done == ["others", ("restart", {}), "streams", "others"]
        assert (ret["result"], ret["comment"]) == (True, "PostgreSQL was restarted.")

    def test_a_leader_gives_the_lead_away_and_has_been_restarted_by_that(self, states):
        states.pending, states.leads = {"PostgreSQL": ["a"]}, True
        ret = states.apply("patroni")
        assert states.done == ["others", ("switchover", {"leader": "db1"}), "streams", "streams", "others"]
        assert ret["result"] is True

    def test_patroni_itself_is_restarted_when_it_is_no_leader_any_more(self, states):
        states.pending, states.leads = {"PostgreSQL": ["a"], "Patroni": ["b"]}, True
        ret = states.apply("patroni")
        assert states.done == [
            "others",
            ("switchover", {"leader": "db1"}),
            "streams",
            "restart patroni",
            "streams",
            "others",
        ]
        assert set(ret["changes"]) == {"PostgreSQL", "Patroni"}

    def test_the_only_member_has_nobody_to_give_the_lead_to(self, states):
        states.pending, states.leads = {"Patroni": ["b"]}, True
        states.hosts[1:] = []
        assert states.apply("patroni")["result"] is True
        assert states.done == ["others", "restart patroni", "streams", "others"]

    def test_a_refused_switchover_is_asked_again_and_then_is_an_error(self, states):
        def refuse(what, _timeout, **_details):
            states.done.append(what)
            raise CommandExecutionError("can not find sync_standby")

        states.pending, states.leads, states.salt["pgha_patroni.post"] = {"Patroni": ["b"]}, True, refuse
        ret = states.apply("patroni")
        assert ret["result"] is False
        assert "can not find sync_standby" in ret["comment"]
        assert states.done.count("switchover") > 1
        assert "restart patroni" not in states.done

    def test_a_member_that_does_not_come_back_is_an_error_and_its_restart_is_told(self, states):
        states.pending, states.streams = {"PostgreSQL": ["a"]}, False
        ret = states.apply("patroni")
        assert (ret["result"], ret["comment"]) == (False, "PostgreSQL was restarted. the log ends with")
        assert ret["changes"] == {"PostgreSQL": {"old": "a", "new": "restarted"}}

    def test_a_patroni_that_does_not_come_back_has_been_restarted(self, states):
        states.pending, states.streams = {"Patroni": ["a"], "PostgreSQL": ["b"]}, False
        ret = states.apply("patroni")
        assert (ret["result"], set(ret["changes"])) == (False, {"Patroni", "PostgreSQL"})
        assert ret["comment"] == "Patroni and PostgreSQL were restarted. the log ends with"

    def test_a_former_leader_that_does_not_come_back_is_not_restarted(self, states):
        states.pending, states.streams, states.leads = {"Patroni": ["a"]}, False, True
        ret = states.apply("patroni")
        assert (ret["result"], ret["changes"]) == (False, {})
        assert ret["comment"] == "This member gave the lead away. the log ends with"
        assert "restart patroni" not in states.done

    def test_a_leader_that_does_not_come_back_with_lowered_parameters_has_been_restarted(self, states):
        wanted = {"max_connections": {"old": "150", "new": "100"}}
        states.leads, states.streams, states.salt["pgha_restart.lowered"] = True, False, lambda: wanted
        ret = states.apply("lowered")
        assert (ret["result"], ret["changes"]) == (False, wanted)
        assert ret["comment"] == "PostgreSQL was restarted. the log ends with"

    def test_a_consul_that_does_not_come_back_has_been_restarted(self, states):
        def ready():
            if "restart consul" in states.done:
                raise CommandExecutionError("dcs1 does not vote")
            return True

        states.pending, states.salt["pgha_restart.consul_ready"] = {"Consul": ["a"]}, ready
        ret = states.apply("consul")
        assert (ret["result"], ret["changes"]) == (False, {"Consul": {"old": "a", "new": "restarted"}})
        assert ret["comment"].startswith("Consul was restarted. ")
        assert "dcs1 does not vote" in ret["comment"]

    @pytest.mark.parametrize("state", ["patroni", "lowered"])
    def test_a_server_that_does_not_start_is_quoted(self, states, state):
        def refuse(_what, _timeout, **_details):
            raise CommandExecutionError("Patroni does not restart: 503 restart failed")

        states.pending, states.salt["pgha_patroni.post"] = {"PostgreSQL": ["a"]}, refuse
        if state == "lowered":
            states.leads, states.salt["pgha_restart.lowered"] = True, lambda: {"max_connections": {}}
        ret = states.apply(state)
        assert (ret["result"], ret["changes"]) == (False, {})
        for words in ("503 restart failed", "FATAL: could not access file", "correct the pillar, run the main job"):
            assert words in ret["comment"]

    def test_what_a_restart_leaves_pending_is_named(self, states):
        states.pending = {"PostgreSQL": ["max_connections is 150, to be 100"]}
        states.salt["pgha_patroni.post"] = lambda *_args, **_kwargs: "done"
        ret = states.apply("patroni")
        assert (ret["result"], list(ret["changes"])) == (False, ["PostgreSQL"])
        assert ret["comment"].endswith("restarted. A restart is still pending: max_connections is 150, to be 100")

    def test_a_service_that_does_not_restart_is_an_error(self, states):
        states.pending, states.salt["service.restart"] = {"Consul": ["a"]}, lambda _unit: False
        ret = states.apply("consul")
        assert (ret["result"], ret["changes"]) == (False, {})
        assert "journalctl -u consul" in ret["comment"]

    @pytest.mark.parametrize("test", [True, False])
    def test_a_leader_takes_lowered_parameters_up_in_its_place(self, states, test):
        wanted = {"max_connections": {"old": "150", "new": "100"}}
        states.salt["pgha_restart.lowered"] = lambda: wanted
        assert states.apply("lowered", test)["changes"] == {}
        states.leads = True
        ret = states.apply("lowered", test)
        assert (ret["result"], ret["changes"]) == (None if test else True, wanted)
        assert states.done == ([] if test else ["others", ("restart", {}), "streams"])


class TestMaster:
    """The turns as the master finds them, with the hosts' answers made up."""

    ANSWER = {"ret": {"pending": {"Consul": ["x"]}, "leads": False, "synchronous": False, "lowered": {}}}

    @pytest.fixture
    def turns(self, loader_module, monkeypatch):
        def find(**answers):
            answers = {**dict.fromkeys(PLAN["hosts"], self.ANSWER), **answers}
            told = {host: answer for host, answer in answers.items() if answer}
            module = loader_module("_modules/pgha_master.py", salt={"saltutil.cmd": lambda *_words, **_options: told})
            monkeypatch.setattr(module, "plan", lambda: {**PLAN, "refused": [], "run": {}})
            return module.turns()

        return find

    def test_all_hosts_are_asked_and_one_that_cannot_tell_is_named(self, turns):
        assert len(turns()["turns"]) == 6
        refused = turns(db2={"ret": "ERROR: Consul does not answer"}, db3=None)
        assert refused["turns"] == []
        assert "ERROR: Consul" in next(line for line in refused["refused"] if line.strip().startswith("- db2: "))
        assert any(line.strip().startswith("- db3: did not answer;") for line in refused["refused"])

    def test_nothing_of_an_answer_that_is_nonsense_comes_into_the_turns(self, turns):
        nonsense = {"ret": {**self.ANSWER["ret"], "pending": {"Consul):\n  cmd.run:\n    - name: id\n#": ["x"]}}}
        refused = turns(db2=nonsense)
        assert refused["turns"] == []
        assert refused["refused"][-1].strip() == "- db2: answered nonsense (pending)"
        assert "cmd.run" not in str(refused)
