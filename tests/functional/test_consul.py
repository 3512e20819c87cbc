"""The states and modules of Consul against a real datacenter: three servers and a database host on loopback."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import consul as independent
import listeners
import pytest
from functional.consul_hosts import ACL_STATES, released, token
from salt.exceptions import CommandExecutionError

NODE, LEADER = "db1", "db/test/leader"


def client(host, name):
    """An independent client of the API with one of the tokens."""
    tokens = {**host.datacenter.tokens, "management": host.datacenter.management}
    return independent.Consul(host=host.address, token=tokens[name]["secret"])


def test_archive_with_another_hash_installs_nothing(tmp_path, unpack):
    archive, sha256 = released()
    target = tmp_path / "opt/consul/1.8.7/consul"
    dry = unpack(target, archive, sha256, test=True)
    assert dry["result"] is None
    assert dry["changes"] == {str(target): {"old": None, "new": f"file://{archive}"}}
    ret = unpack(target, archive, "0" * 64)
    assert ret["result"] is False
    assert sha256 in ret["comment"]
    assert not target.parent.exists()
    assert archive.exists()


def test_second_run_changes_nothing(running):
    for host in running.servers:
        for name in ("configured", *ACL_STATES):
            for test in (False, True):
                ret = host.run_state(name, test=test)
                assert (ret["result"], ret["changes"]) == (True, {}), ret
        assert sorted(os.listdir(host.place / "conf")) == ["config.json"]
    for name in ("configured", "joined"):
        ret = running.db.run_state(name)
        assert (ret["result"], ret["changes"]) == (True, {}), ret


def test_everyone_sees_the_same_datacenter(running):
    names = [host.name for host in running.servers]
    for host in running.servers:
        health = host.consul.health()
        assert health["errors"] == []
        assert health["version"] == "1.8.7"
        assert health["leader"] in names
        assert sorted(health["voters"]) == names
        assert [(one["name"], one["type"], one["status"]) for one in health["members"]] == [
            (NODE, "client", "alive"),
            *((name, "server", "alive") for name in names),
        ]
        assert health["restart_pending"] == []
    health = running.db.consul.health()
    assert (health["leader"] in names, health["errors"]) == (True, [])
    assert [one["name"] for one in health["members"]] == [NODE]
    assert running.servers[0].consul_acl.registrar()
    assert not running.servers[1].consul_acl.registrar()
    running.servers[0].eventually(lambda: running.servers[0].consul.autopilot()["healthy"])
    assert running.servers[0].consul.autopilot()["failure_tolerance"] == 1


def test_anybody_without_a_token_is_refused(running):
    for host in (*running.servers, running.db):
        for path in (f"/v1/kv/{LEADER}", "/v1/agent/self", "/v1/acl/tokens", "/v1/operator/raft/configuration"):
            assert host.call("GET", path) in (401, 403, 404), path
        assert host.call("PUT", "/v1/session/create", payload={}) == 403
        assert host.call("PUT", f"/v1/kv/{LEADER}", payload={}) == 403
    assert running.servers[0].call("GET", f"/v1/catalog/node/{NODE}") in (200, 403)


def test_patroni_may_lead_its_own_cluster_and_no_other(running):
    patroni = client(running.db, "patroni-test")
    session = patroni.session.create(name="test-db1", ttl=15, lock_delay=0)
    assert patroni.kv.put(LEADER, NODE, acquire=session)
    assert patroni.kv.get("db/test/", recurse=True)[1][0]["Session"] == session
    assert patroni.agent.service.register("test", service_id="test/db1", port=5432)
    patroni.agent.service.deregister("test/db1")
    for refused in (
        lambda: patroni.kv.put("db/other/leader", NODE),
        lambda: patroni.kv.put("elsewhere", NODE),
        lambda: patroni.session.create(node="dcs1", name="theirs", ttl=15),
        lambda: patroni.agent.service.register("other", service_id="other", port=5432),
        lambda: patroni.acl.list(),
    ):
        with pytest.raises(independent.ACLPermissionDenied):
            refused()
    patroni.session.destroy(session)
    assert patroni.kv.delete("db/test/", recurse=True)


def test_virtual_ip_reads_the_leader_key_alone(running):
    management, vip = client(running.servers[0], "management"), client(running.db, "vip-test")
    management.kv.put(LEADER, NODE)
    management.kv.put("db/test/config", "{}")
    assert vip.kv.get(LEADER)[1]["Value"] == NODE.encode()
    for refused in (lambda: vip.kv.put(LEADER, "dcs1"), lambda: vip.kv.get("db/test/config")):
        with pytest.raises(independent.ACLPermissionDenied):
            refused()
    management.kv.delete("db/", recurse=True)


def test_agent_may_register_its_own_node_alone(running):
    secret = running.tokens["agent-db1"]["secret"]
    own = {"Node": NODE, "Address": running.db.address}
    assert running.db.call("PUT", "/v1/catalog/register", secret, payload=own) == 200
    assert running.db.call("PUT", "/v1/catalog/register", secret, payload={**own, "Node": "dcs1"}) == 403
    assert running.db.call("GET", f"/v1/kv/{LEADER}", secret) in (403, 404)


def test_agent_token_outlives_a_restart(running):
    host = running.servers[2]
    assert host.stop() == 1
    assert host.consul_acl.agent_token_known()
    assert not host.consul_acl.preset_wanted()
    host.start()
    host.eventually(lambda: host.run_state("quorum_formed", test=True)["result"])
    assert host.state("agent_token_set")["changes"] == {}
    host.eventually(host.consul.registered)
    assert "blocked by ACLs" not in (host.place / "output").read_text().rpartition("Starting Consul agent")[2]


def test_who_listens_in_consuls_place_gets_no_token(running):
    host = running.servers[2]
    host.stop()
    with listeners.listening(address=host.address, port=8500) as thief:
        errors = host.consul.health()["errors"]
        assert len(errors) == 4
        assert all(f"uid 65534 (nobody), process {thief.pid}" in error for error in errors)
        for function in (host.consul_acl.token_works, host.consul_acl.differences, host.consul_acl.agent_token_set):
            with pytest.raises(CommandExecutionError, match="Consul does not run on this host"):
                function()
        assert thief.heard() == []
    host.start()
    host.eventually(host.consul.registered)


def test_session_outlives_a_restart_of_the_agent(running):
    """Both settings of leaving are false: the leader key stays for its full TTL."""
    patroni = client(running.servers[0], "management")
    session = patroni.session.create(node=NODE, name="test-db1", ttl=15, lock_delay=0)
    assert patroni.kv.put(LEADER, NODE, acquire=session)
    running.db.restart()
    running.db.eventually(running.db.consul.registered)
    assert patroni.kv.get(LEADER)[1]["Session"] == session
    patroni.session.destroy(session)
    patroni.kv.delete("db/", recurse=True)


def test_what_differs_is_put_right_and_strangers_are_left_alone(running):
    host = running.servers[0]
    management = running.management["secret"]
    policies = {one["Name"]: one["ID"] for one in _get(host, "/v1/acl/policies")}
    stranger = {"Name": "stranger", "Description": "", "Rules": 'key "x" { policy = "read" }'}
    assert host.call("PUT", "/v1/acl/policy", management, payload=stranger) == 200
    wide = {"Name": "vip-test", "Description": "wide", "Rules": 'key_prefix "" { policy = "write" }'}
    assert host.call("PUT", f"/v1/acl/policy/{policies['vip-test']}", management, payload=wide) == 200
    accessor = running.tokens["patroni-test"]["accessor"]
    links = {"AccessorID": accessor, "Description": "x", "Policies": [{"Name": "stranger"}, {"Name": "patroni-test"}]}
    assert host.call("PUT", f"/v1/acl/token/{accessor}", management, payload=links) == 200

    expected = {"policy vip-test", "token patroni-test"}
    assert set(host.consul_acl.differences()) == expected
    dry = host.run_state("policies_and_tokens", test=True)
    assert (dry["result"], set(dry["changes"])) == (None, expected)
    ret = host.state("policies_and_tokens")
    assert set(ret["changes"]) == expected
    assert ret["changes"]["policy vip-test"]["old"]["rules"] == wide["Rules"]
    assert host.consul_acl.differences() == {}
    assert "stranger" in {one["Name"] for one in _get(host, "/v1/acl/policies")}
    assert policies["vip-test"] == {one["Name"]: one["ID"] for one in _get(host, "/v1/acl/policies")}["vip-test"]


def test_rights_of_the_anonymous_token_are_taken_away(running):
    host, anonymous = running.servers[0], "00000000-0000-0000-0000-000000000002"
    management = running.management["secret"]
    wide = {"AccessorID": anonymous, "Description": "Anonymous Token", "Policies": [{"Name": "global-management"}]}
    assert host.call("PUT", f"/v1/acl/token/{anonymous}", management, payload=wide) == 200
    host.eventually(lambda: host.call("GET", "/v1/acl/tokens") == 200)

    dry = host.run_state("policies_and_tokens", test=True)
    assert (dry["result"], set(dry["changes"])) == (None, {"anonymous token"})
    assert host.call("GET", "/v1/acl/tokens") == 200
    ret = host.state("policies_and_tokens")
    (policy,) = ret["changes"]["anonymous token"]["old"]["Policies"]
    assert (policy["Name"], ret["changes"]["anonymous token"]["new"]) == ("global-management", {})
    for server in running.servers:
        server.eventually(lambda server=server: server.call("GET", "/v1/acl/tokens") == 403)
    ret = host.state("policies_and_tokens")
    assert (ret["changes"], "WARNING" in ret["comment"]) == ({}, False)


def test_autopilot_of_a_living_datacenter_is_changed_by_the_api(running):
    """Consul read its configuration when the datacenter was new, and does not read this part of it again."""
    host, other = running.servers[:2]
    path = "/v1/operator/autopilot/configuration"
    kind = "pgha_consul_registrar"
    assert _get(host, path)["MinQuorum"] == 3
    ret = host.run_state("autopilot_configured", kind=kind)
    assert (ret["result"], ret["changes"]) == (True, {})
    before = _get(host, path)
    for one in running.servers:
        one.settings["consul"]["config"] = {"autopilot": {"min_quorum": 5, "last_contact_threshold": "0.2s"}}
    try:
        assert "Restart pending" not in host.state("configured")["comment"]
        ret = other.run_state("autopilot_configured", kind=kind)
        assert (ret["result"], ret["changes"], _get(host, path)) == (True, {}, before)
        changes = {"MinQuorum": {"old": 3, "new": 5}}
        dry = host.run_state("autopilot_configured", kind=kind, test=True)
        assert (dry["result"], dry["changes"], _get(host, path)) == (None, changes, before)
        ret = host.run_state("autopilot_configured", kind=kind)
        assert (ret["result"], ret["changes"]) == (True, changes)
        after = _get(host, path)
        assert {**before, "MinQuorum": 5, "ModifyIndex": 0} == {**after, "ModifyIndex": 0}
        assert host.run_state("autopilot_configured", kind=kind)["changes"] == {}
    finally:
        for one in running.servers:
            one.settings["consul"]["config"] = {}
        assert host.run_state("autopilot_configured", kind=kind)["result"] is True
        host.state("configured")
    assert _get(host, path)["MinQuorum"] == 3


def test_servers_see_that_the_first_one_has_failed(running, monkeypatch):
    first, other = running.servers[:2]
    assert other.consul_registrar.failed() is None
    first.consul_registrar.note("the id is taken\x1b[2J")
    first.eventually(
        lambda: (
            other.consul_registrar.failed() == ("dcs1 could not register the policies and tokens: the id is taken?[2J")
        )
    )
    good = running.tokens["vip-test"]
    try:
        running.tokens["vip-test"] = token()
        began = time.monotonic()
        ret = other.run_state("tokens_visible")
        assert (ret["result"], ret["changes"]) == (False, {})
        assert "the id is taken" in ret["comment"]
        assert "Not known to this server: vip-test" in ret["comment"]
        assert 9 < time.monotonic() - began < 20
    finally:
        running.tokens["vip-test"] = good
    assert other.state("tokens_visible")["comment"] == "6 tokens are known."
    # It takes back what it said.
    first.state("policies_and_tokens")
    first.eventually(lambda: other.consul_registrar.failed() is None)
    assert first.call("GET", "/v1/kv/pgha/registration-failed", running.management["secret"]) == 404


def test_foreign_tokens_are_named_and_left_alone(running):
    host, management = running.servers[0], running.management["secret"]
    assert host.consul_acl.foreign_tokens() == []
    rules = 'acl = "write"'
    assert host.call("PUT", "/v1/acl/policy", management, payload={"Name": "writes-acl", "Rules": rules}) == 200
    role = {"Name": "strong", "Policies": [{"Name": "global-management"}]}
    assert host.call("PUT", "/v1/acl/role", management, payload=role) == 200
    made = {
        "mine": ({"Policies": [{"Name": "global-management"}]}, True),
        "by a role": ({"Roles": [{"Name": "strong"}]}, True),
        "by a policy": ({"Policies": [{"Name": "writes-acl"}]}, True),
        "Patroni of the database cluster test": ({}, False),
        "harmless": ({}, None),
    }
    accessors = {}
    for description, (links, _) in made.items():
        accessors[description] = token()["accessor"]
        payload = {"AccessorID": accessors[description], "Description": description, **links}
        assert host.call("PUT", "/v1/acl/token", management, payload=payload) == 200
    try:
        found = {one["description"]: (one["accessor"], one["management"]) for one in host.consul_acl.foreign_tokens()}
        assert found == {name: (accessors[name], strong) for name, (_, strong) in made.items() if strong is not None}
        for test in (True, False):
            ret = host.run_state("policies_and_tokens", test=test)
            assert (ret["result"], ret["changes"]) == (True, {})
            for name, (accessor, _) in found.items():
                assert f'the token {accessor} "{name}"' in ret["comment"]
        there = {one["AccessorID"] for one in _get(host, "/v1/acl/tokens")}
        assert set(accessors.values()) <= there
    finally:
        for accessor in accessors.values():
            assert host.call("DELETE", f"/v1/acl/token/{accessor}", management) == 200
    assert "WARNING" not in host.state("policies_and_tokens")["comment"]


def test_a_server_that_is_in_no_inventory_stops_the_run_and_is_named(running, tmp_path):
    """Whoever has the gossip key becomes one, with a configuration of his own."""
    host, management = running.servers[0], running.management["secret"]
    stranger = running.db.address.rpartition(".")[0] + ".31"
    config = {
        **json.loads((host.place / "conf/config.json").read_text()),
        "bind_addr": stranger,
        "advertise_addr": stranger,
        "client_addr": stranger,
        "node_name": "stranger",
        "data_dir": str(tmp_path / "data"),
        "log_file": str(tmp_path / "log/"),
        "retry_join": [host.address],
    }
    config.pop("bootstrap_expect")
    (tmp_path / "log").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with open(tmp_path / "output", "wb") as output:
        command = [host.binary, "agent", f"-config-file={tmp_path}/config.json"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        for server in running.servers:
            server.eventually(
                lambda server=server: "stranger" in {peer["name"] for peer in server.consul.raft_peers()}, 60
            )
        for server in running.servers:
            for test in (True, False):
                begun = time.monotonic()
                ret = server.run_state("quorum_formed", test=test)
                assert (ret["result"], ret["changes"]) == (False, {})
                assert f"stranger ({stranger}) is a server in raft and not in the inventory" in ret["comment"]
                assert f"consul operator raft remove-peer -address={stranger}:8300" in ret["comment"]
                assert time.monotonic() - begun < 5
        (foreign,) = host.consul.health()["foreign_servers"]
        assert (foreign["name"], foreign["address"]) == ("stranger", stranger)
    finally:
        process.kill()
        process.wait(20)
        # What the message says.
        address = {"address": f"{stranger}:8300"}
        host.eventually(
            lambda: (
                host.call("DELETE", "/v1/operator/raft/peer", management, params=address) in (200, 500)
                and len(host.consul.raft_peers()) == 3
            ),
            60,
        )
        host.call("PUT", "/v1/agent/force-leave/stranger", management, params={"prune": ""})
    for server in running.servers:
        server.eventually(lambda server=server: server.run_state("quorum_formed", test=True)["result"] is True)
    host.eventually(lambda: {one["name"] for one in host.consul.members()} == {NODE, "dcs1", "dcs2", "dcs3"}, 60)
    running.servers[0].eventually(lambda: host.consul.autopilot()["healthy"], 60)


def test_a_new_machine_in_the_place_of_a_server_takes_its_place_in_raft(running):
    """The same name and address with another node id: no stranger, and one peer."""
    host, lost = running.servers[0], running.servers[2]
    before = _ids(host)
    lost.stop(9)
    shutil.rmtree(lost.place / "data")
    (lost.place / "data").mkdir()
    lost.start()
    host.eventually(lambda: _ids(host).keys() == before.keys() and _ids(host) != before, 90)
    for server in running.servers:
        for name in ACL_STATES:
            server.state(name)
    host.eventually(lambda: host.consul.autopilot()["healthy"], 60)
    host.eventually(lost.consul.registered, 60)


def test_a_store_with_tokens_of_a_host_that_is_gone_blocks_no_run(running):
    running.tokens["agent-bd3"] = token()
    try:
        for server in running.servers:
            for name in ("policies_and_tokens", "tokens_visible"):
                assert server.state(name)["changes"] == {}
    finally:
        del running.tokens["agent-bd3"]


def test_closed_ports_are_closed(running):
    listening = subprocess.run(["ss", "-Hltun"], capture_output=True, text=True, check=True).stdout.split()
    for host in running.servers:
        assert f"{host.address}:8301" in listening
        assert not {f"{host.address}:{port}" for port in (8302, 8502, 8503)} & set(listening)


def test_another_cluster_gets_its_own_token(running):
    host = running.servers[0]
    host.settings["clusters"] = [*running.clusters, {**running.clusters[0], "name": "two_Main", "hosts": []}]
    with pytest.raises(CommandExecutionError, match=r"no token patroni-two_Main yet"):
        host.consul_acl.differences()
    running.tokens.update({"patroni-two_Main": token(), "vip-two_Main": token()})
    try:
        ret = host.state("policies_and_tokens")
        assert 'service "two-main"' in ret["changes"]["policy patroni-two_Main"]["new"]["rules"]
        for server in running.servers:
            server.state("tokens_visible")
        assert host.call("PUT", "/v1/kv/db/two_Main/x", running.tokens["patroni-two_Main"]["secret"], payload=1) == 200
        assert host.call("PUT", "/v1/kv/db/test/x", running.tokens["patroni-two_Main"]["secret"], payload=1) == 403
    finally:
        host.settings["clusters"] = running.clusters


def test_token_with_a_changed_secret_is_an_error_without_the_secret(running):
    host = running.servers[0]
    good = running.tokens["vip-test"]
    running.tokens["vip-test"] = {**good, "secret": token()["secret"]}
    try:
        ret = host.run_state("policies_and_tokens")
        assert ret["result"] is False
        assert "token vip-test" in ret["comment"]
        assert "another secret" in ret["comment"]
        assert not any(secret in json.dumps(ret) for secret in running.secrets)
    finally:
        running.tokens["vip-test"] = good


def test_change_is_checked_reloaded_and_what_waits_for_a_restart_is_named(running):
    host = running.db
    before = (host.place / "conf/config.json").read_text()
    host.settings["consul"]["config"] = {"no_such_key": 1}
    ret = host.run_state("configured")
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "no_such_key" in ret["comment"]
    assert (host.place / "conf/config.json").read_text() == before

    host.settings["consul"]["config"] = {"log_level": "DEBUG"}
    ret = host.state("configured")
    assert "read it" in ret["comment"]
    assert "Restart pending" not in ret["comment"]
    host.eventually(lambda: "[DEBUG]" in (host.place / "output").read_text())

    host.settings["consul"]["config"] = {"raft_protocol": 3}
    pid = host.process.pid
    assert "Restart pending: changed settings: raft_protocol." in host.state("configured")["comment"]
    ret = host.run_state("configured", test=True)
    assert (ret["result"], ret["changes"]) == (True, {})
    assert "Restart pending: changed settings: raft_protocol." in ret["comment"]
    assert host.process.pid == pid
    host.settings["consul"]["config"] = {}
    host.state("configured")
    (host.place / "run/consul.restart-pending").unlink()


def test_no_secret_is_said_anywhere(running):
    shown = [json.dumps(host.run_state(name)) for host in running.servers for name in ("configured", *ACL_STATES)]
    shown += [json.dumps(host.consul.health()) for host in (*running.servers, running.db)]
    for host in (*running.servers, running.db):
        shown.append((host.place / "output").read_text())
        shown += [path.read_text() for path in (host.place / "log").iterdir()]
        shown.append(Path(f"/proc/{host.process.pid}/cmdline").read_text())
        for path in (host.place / "conf").iterdir():
            assert path.stat().st_mode & 0o777 == 0o640
    for secret in running.secrets:
        assert not any(secret in text for text in shown)


def _ids(host):
    """{address: node id} of the servers in raft."""
    servers = _get(host, "/v1/operator/raft/configuration")["Servers"]
    return {one["Address"]: one["ID"] for one in servers}


def _get(host, path):
    return host.ask("GET", path, host.datacenter.management["secret"])["body"]
