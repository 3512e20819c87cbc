"""Three real members over a real Consul with ACLs, set up by the states; then what people and accidents may change."""

import json
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
import requests
import yaml
from functional.consul_hosts import Datacenter, token
from functional.patroni_hosts import SECRETS, USER, Member, eventually, server, settings, traversable
from salt.exceptions import CommandExecutionError

#: Whoever connects to an address of loopback comes from 127.0.0.1.
LOOPBACK = [f"host {name} 127.0.0.1/32 scram-sha-256" for name in ("replication replicator", "postgres rewind")]


@pytest.fixture(scope="module")
def consul(tmp_path_factory, loader, binary):
    """A server and the agent of the database hosts, which three members share here."""
    one = Datacenter(tmp_path_factory.mktemp("dc"), loader, binary)
    one.clusters[0]["hosts"] = [{"id": f"db{each}", "name": f"db{each}", "address": "-"} for each in (1, 2, 3)]
    one.tokens.update({f"agent-db{each}": token() for each in (2, 3)})
    try:
        yield one.up()
    finally:
        one.down()


@pytest.fixture(scope="module")
def base():
    with traversable() as place:
        yield place


@pytest.fixture(scope="module")
def members(base, loader, consul):
    binaries = server(base / "server")
    agent = f"{consul.database['address']}:8500"
    net = consul.database["address"].rpartition(".")[0]
    made = []
    for number in (1, 2, 3):
        place = base / f"db{number}"
        postgresql = {"listen": f"{net}.{30 + number}:5432", "pgpass": f"{place}/run/pgpass"}
        config = {"consul": {"host": agent}, "postgresql": postgresql}
        found = settings(
            place, loader, binaries, number, net, patroni={"config": config}, postgres={"pg_hba": LOOPBACK}
        )
        made.append(Member(place, loader, found, agent, consul.tokens["patroni-test"]))
    return made


@pytest.fixture(scope="module")
def environment(members):
    return members[0].must("environment", "x")


@pytest.fixture(scope="module")
def cluster(members, environment):
    """The members, each brought up by the states in the order of the SLS."""
    try:
        for number, member in enumerate(members):
            member.must("configured", member.yml)
            member.must("data_directory_ours", "x")
            member.must("leader_elected", "x", 60, first=number == 0)
            member.start()
            if number == 0:
                # Not before: the founder is the first one.
                member.must("streaming", "x", 60)
        for member in members:
            member.must("streaming", "x", 60)
            member.must("dcs_configured", "x")
        yield members
    finally:
        for member in members:
            member.stop()


def test_environment_has_every_pinned_package(members, environment):
    assert environment["changes"]["patroni"] == {"old": None, "new": "4.1.5"}
    again = members[0].must("environment", "x")
    assert again["changes"] == {}
    venv = Path(members[0].settings["patroni"]["venv"])
    said = subprocess.run([venv / "bin/patronictl", "version"], capture_output=True, text=True)
    assert said.stdout.strip() == "patronictl version 4.1.5", said
    assert next(venv.glob("lib/python3*/site-packages/patroni/__pycache__/ctl.*.pyc")).exists()


def test_environment_knows_nothing_of_where_it_was_built(members, environment):
    venv = Path(members[0].settings["patroni"]["venv"])
    shell = f'. {venv}/bin/activate; command -v patronictl; printf "%s\\n" "$VIRTUAL_ENV"'
    said = subprocess.run(["dash", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert said.split() == [f"{venv}/bin/patronictl", str(venv)]
    programs = [path for path in (venv / "bin").iterdir() if not path.is_symlink()]
    texts = [path.read_text() for path in [venv / "pyvenv.cfg", *programs]]
    assert sum(str(venv) in text for text in texts) > 10
    assert not [text for text in texts if ".build" in text]
    assert not [path for path in venv.rglob("*") if path.is_symlink() and ".build" in str(path.readlink())]


def test_user_of_postgresql_reads_the_environment_and_changes_nothing(members, environment):
    venv = members[0].settings["patroni"]["venv"]
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
    assert subprocess.run([*as_user, "find", venv, "!", "-readable"], capture_output=True, text=True).stdout == ""
    writable = ["find", venv, "!", "-type", "l", "-writable"]
    assert subprocess.run([*as_user, *writable], capture_output=True, text=True).stdout == ""
    for command in (["touch", f"{venv}/new"], ["rm", f"{venv}/.pgha-requirements"], ["mv", venv, f"{venv}.old"]):
        assert subprocess.run([*as_user, *command], capture_output=True).returncode != 0


def test_environment_of_another_owner_is_taken_over(members, environment):
    """In a copy: the others run from the first one."""
    venv = Path(members[0].settings["patroni"]["venv"])
    copy = venv.with_name("venv-of-postgres")
    subprocess.run(["cp", "-a", venv, copy], check=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", copy], check=True)
    marker = (copy / ".pgha-requirements").read_bytes()
    patroni = {**members[0].settings["patroni"], "venv": str(copy)}
    member = Member(members[0].place, members[0].loader, dict(members[0].settings, patroni=patroni))
    dry = member.state("environment", "x", test=True)
    assert (dry["result"], dry["changes"]) == (None, {"environment": {"old": None, "new": "complete"}})
    assert member.must("environment", "x")["changes"] == dry["changes"]
    assert {path.lstat().st_uid for path in [copy, *copy.rglob("*")]} == {0}
    # What Patroni was started with is what is there: no restart is pending.
    assert (copy / ".pgha-requirements").read_bytes() == marker
    assert member.must("environment", "x")["changes"] == {}
    assert not list(copy.parent.glob(".*.build"))


def test_file_with_another_hash_is_not_installed(members, environment, tmp_path):
    place = members[0].place.parent / "wheels"
    shutil.copytree(members[0].settings["patroni"]["find_links"], place)
    wheel = next(place.glob("click-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    venv = place.with_name("venv-hash")
    patroni = {**members[0].settings["patroni"], "venv": str(venv), "find_links": str(place)}
    ret = Member(members[0].place, members[0].loader, dict(members[0].settings, patroni=patroni)).state(
        "environment", "x"
    )
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "click" in ret["comment"]
    assert not venv.exists()
    assert not list(venv.parent.glob(".*.build"))


def test_all_stream_and_know_of_each_other(cluster):
    eventually(lambda: {one["state"] for one in cluster[0].call("pgha_patroni.cluster")} == {"running", "streaming"})
    listed = {one["name"]: one for one in cluster[1].call("pgha_patroni.cluster")}
    assert {name: one["role"] for name, one in listed.items()} == {"db1": "leader", "db2": "replica", "db3": "replica"}
    assert {one["timeline"] for one in listed.values()} == {1}


def test_no_member_met_an_exception(cluster):
    for member in cluster:
        assert "Traceback" not in member.log()


def test_second_run_changes_nothing(cluster):
    for member in cluster:
        for test in (False, True):
            for ret in (
                member.state("configured", member.yml, test=test),
                member.state("data_directory_ours", "x", test=test),
                member.state("leader_elected", "x", 5, test=test),
                member.state("streaming", "x", 5, test=test),
                member.state("dcs_configured", "x", test=test),
            ):
                assert (ret["result"], ret["changes"]) == (True, {}), ret


def test_files_are_for_patroni_alone_and_it_can_change_none(cluster):
    for member in cluster:
        path = Path(member.yml)
        assert (path.owner(), path.group(), path.stat().st_mode & 0o777) == ("root", USER, 0o640)
        path = path.with_name("pgpass.check")
        assert (path.owner(), path.stat().st_mode & 0o777) == (USER, 0o600)
        assert {one.name for one in path.parent.iterdir()} == {"patroni.yml", "pgpass.check"}
    # The replicas have written theirs where they may.
    for member in cluster[1:]:
        path = member.place / "run/pgpass"
        assert (path.owner(), path.stat().st_mode & 0o777) == (USER, 0o600)


def test_no_process_shows_a_secret(cluster):
    words = [*SECRETS.values(), cluster[0].secrets["patroni"]["secret"]]
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any("/bin/patroni" in line for line in lines)
    assert not [line for line in lines for word in words if word in line]


def test_only_the_leader_takes_a_write(cluster):
    assert cluster[1].call("pgha_patroni.write_error", cluster[0].settings["address"]) is None
    assert "recovery" in cluster[1].call("pgha_patroni.write_error", cluster[2].settings["address"])
    assert cluster[0].must("serves_writes", "x", 5)["comment"] == "A write succeeded."
    assert "leader's host" in cluster[1].must("serves_writes", "x", 5)["comment"]


def _config_of(address, ttl):
    """The dynamic configuration, once the member has seen this ``ttl`` in it."""
    found = requests.get(f"http://{address}:8008/config", timeout=5).json()
    return found if found["ttl"] == ttl else None


def test_drift_in_the_dcs_is_put_right_and_nothing_else(cluster):
    address = cluster[0].settings["address"]
    live = {"ttl": 45, "master_start_timeout": 7, "postgresql": {"parameters": {"work_mem": "7MB", "jit": "on"}}}
    cluster[0].call("pgha_patroni.patch_config", live)
    # GET /config answers from what a member saw in its last loop, so each look waits for that.
    for member in cluster:
        eventually(lambda member=member: member.call("pgha_patroni.dynamic_config")["ttl"] == 45)
    dry = cluster[1].state("dcs_configured", "x", test=True)
    assert dry["changes"] == {"ttl": {"old": 45, "new": 30}}
    cluster[0].settings["patroni"]["synchronous_mode"] = "quorum"
    ret = cluster[0].must("dcs_configured", "x")
    assert ret["changes"] == {"ttl": {"old": 45, "new": 30}, "synchronous_mode": {"old": False, "new": "quorum"}}
    found = eventually(lambda: _config_of(address, ttl=30))
    assert (found["synchronous_mode"], found["master_start_timeout"]) == ("quorum", 7)
    assert found["postgresql"]["parameters"]["work_mem"] == "7MB"
    eventually(lambda: "quorum_standby" in {one["role"] for one in cluster[0].call("pgha_patroni.cluster")})
    # A write now waits for one of them, and both are there.
    assert cluster[0].call("pgha_patroni.write_error") is None
    cluster[0].settings["patroni"]["synchronous_mode"] = "off"
    assert cluster[0].must("dcs_configured", "x")["changes"]["synchronous_mode"]["new"] is False


def _shown(member, name):
    """A parameter as the server has it, to the last blank."""
    return _asked(member, f"SHOW {name}")


def _asked(member, statement):
    psql = [f"{member.settings['postgres']['bin_dir']}/psql", "-XAtq", "-h", f"{member.place}/run", "-c", statement]
    done = subprocess.run(["runuser", "-u", USER, "--", *psql, "postgres"], capture_output=True, text=True, cwd="/")
    return done.stdout.removesuffix("\n") if done.returncode == 0 else done.stderr


def test_text_of_a_parameter_arrives_as_it_is_written_and_goes_when_it_is_taken_out(cluster):
    founder, replica = cluster[0], cluster[2]
    default = _shown(replica, "log_line_prefix")
    given = founder.settings["postgres"]["parameters"]
    try:
        for text in ("%t [%p]: user=%u,db=%d ", "  ", "", """it's "50%%" a\\b ä """):
            given["log_line_prefix"] = text
            ret = founder.must("dcs_configured", "x")
            assert ret["changes"]["postgresql.parameters.log_line_prefix"]["new"] == text
            eventually(lambda text=text: _shown(replica, "log_line_prefix") == text)
            eventually(lambda: founder.must("dcs_configured", "x", test=True)["changes"] == {}, 30)
    finally:
        given.pop("log_line_prefix", None)
    # By hand, beside it.
    founder.call("pgha_patroni.patch_config", {"postgresql": {"parameters": {"log_min_messages": "notice"}}})
    eventually(lambda: "log_min_messages" in founder.call("pgha_patroni.dynamic_config")["postgresql"]["parameters"])
    ret = founder.must("dcs_configured", "x")
    assert set(ret["changes"]) == {"postgresql.parameters.log_line_prefix", "pgha.declared"}
    assert "postgresql.parameters.log_min_messages" in ret["comment"]
    eventually(lambda: _shown(replica, "log_line_prefix") == default)
    assert _shown(replica, "log_min_messages") == "notice"
    eventually(lambda: founder.must("dcs_configured", "x", test=True)["changes"] == {}, 30)


def test_no_member_finds_anything_wrong_with_its_server(cluster):
    assert [member.call("pgha_parameters.server_faults") for member in cluster] == [[]] * len(cluster)


def test_library_that_is_not_there_reaches_no_member(cluster):
    member = cluster[2]
    given = member.settings["postgres"]["parameters"]
    given["shared_preload_libraries"] = "pg_stat_statments"
    try:
        for ret in (
            member.state("parameters_accepted", "x", kind="pgha_postgres"),
            member.state("configured", member.yml),
            member.state("dcs_configured", "x"),
        ):
            assert (ret["result"], ret["changes"]) == (False, {})
            assert "could not access file" in ret["comment"]
    finally:
        del given["shared_preload_libraries"]


def test_reload_that_was_lost_is_made_up_for(cluster):
    member = cluster[1]
    member.settings["patroni"]["config"]["postgresql"]["parameters"] = {"work_mem": "11MB"}
    reload, member.salt["service.reload"] = member.salt["service.reload"], lambda _name: False
    try:
        assert member.state("configured", member.yml)["result"] is False
    finally:
        member.salt["service.reload"] = reload
    conf = Path(member.settings["postgres"]["data_dir"], "postgresql.conf")
    assert "work_mem = '11MB'" not in conf.read_text()
    assert member.must("configured", member.yml)["changes"] == {"reload": {"old": "owed", "new": "done"}}
    eventually(lambda: "work_mem = '11MB'" in conf.read_text())
    assert member.must("configured", member.yml)["changes"] == {}


def test_change_of_a_host_reaches_its_server_without_a_restart(cluster):
    member = cluster[2]
    begun = member.call("pgha_patroni.member")["postmaster_start_time"]
    member.settings["patroni"]["config"]["postgresql"]["parameters"] = {"work_mem": "9MB"}
    ret = member.must("configured", member.yml)
    assert "postgresql.parameters.work_mem: 32MB -> 9MB" in ret["changes"][member.yml]["diff"]
    conf = Path(member.settings["postgres"]["data_dir"], "postgresql.conf")
    eventually(lambda: "work_mem = '9MB'" in conf.read_text())
    assert member.call("pgha_patroni.member")["postmaster_start_time"] == begun


def test_configuration_that_patroni_refuses_is_not_written(cluster):
    member = cluster[2]
    before = Path(member.yml).read_bytes()
    member.settings["patroni"]["config"]["restapi"] = {"connect_address": "127.0.0.1:8008"}
    try:
        ret = member.state("configured", member.yml)
    finally:
        del member.settings["patroni"]["config"]["restapi"]
    assert (ret["result"], ret["changes"]) == (False, {})
    assert "must not contain" in ret["comment"]
    assert Path(member.yml).read_bytes() == before
    assert not any(word in json.dumps(ret) for word in SECRETS.values())


def test_wrong_password_of_the_api_changes_nothing(cluster, loader):
    member = Member(cluster[0].place, loader, cluster[0].settings)
    member.secrets["restapi"] = "wrong"
    with pytest.raises(CommandExecutionError, match="401"):
        member.call("pgha_patroni.patch_config", {"ttl": 99})


def test_foreign_data_is_named_and_left_alone(cluster, base, monkeypatch):
    member, place = cluster[1], base / "foreign"
    binaries = member.settings["postgres"]["bin_dir"]
    command = ["runuser", "-u", USER, "--", f"{binaries}/initdb", "--no-sync", "-D", str(place)]
    place.mkdir()
    shutil.chown(place, USER, USER)
    subprocess.run(command, check=True, capture_output=True, cwd="/")
    monkeypatch.setitem(member.settings["postgres"], "data_dir", str(place))
    ret = member.state("data_directory_ours", "x")
    assert ret["result"] is False
    assert member.call("pgha_patroni.dcs")["initialize"] in ret["comment"]
    assert f"mv {place} {place}.old" in ret["comment"]
    assert (place / "PG_VERSION").exists()


def test_token_that_may_not_read_stops_before_patroni_starts(cluster, consul, loader):
    member = Member(cluster[1].place, loader, cluster[1].settings, f"{consul.database['address']}:8500")
    member.secrets["patroni"] = consul.tokens["vip-test"]
    ret = member.state("leader_elected", "x", 0)
    assert ret["result"] is False
    assert "may not write key db/test/leader" in ret["comment"]


def test_configuration_is_what_patroni_runs_with(cluster):
    config = yaml.safe_load(Path(cluster[0].yml).read_text())
    hba = Path(cluster[0].settings["postgres"]["data_dir"], "pg_hba.conf").read_text().splitlines()
    assert (
        hba[-len(config["bootstrap"]["dcs"]["postgresql"]["pg_hba"]) :]
        == config["bootstrap"]["dcs"]["postgresql"]["pg_hba"]
    )
