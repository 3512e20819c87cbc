"""A copy of another cluster: what its hosts are told, what may not be copied, whose passwords the copy has."""

import re

import pghalib.backup.config
import pghalib.inventory
import pghalib.master.copied
import pghalib.postgres.scram
import pytest
import shipped

DEFAULTS = shipped.defaults()
S3 = {"type": "s3", "endpoint": "s3.example.org", "bucket": "pgha", "key": "id", "key_secret": "hidden"}
FAR = {"type": "host", "host": "backup1", "path": "/backup"}
PGHA = {
    "tls": {"enabled": True},
    "datacenters": {"dc": {"servers": {"dcs1": "192.0.2.1"}, "repository_hosts": {"backup1": "192.0.2.51"}}},
    "clusters": {
        "one": {
            "vip": "192.0.2.40/24",
            "hosts": {"db1": "192.0.2.11"},
            "backup": {"repositories": {"far": FAR, "s3": S3}},
        },
        "trial": {"vip": "192.0.2.50/24", "hosts": {"db3": "192.0.2.13"}},
    },
}


def pgha(repositories=None, **of_trial):
    clusters = PGHA["clusters"]
    one = clusters["one"] | ({"backup": {"repositories": repositories}} if repositories else {})
    return {**PGHA, "clusters": {"one": one, "trial": {**clusters["trial"], **of_trial}}}


def test_the_hosts_are_told_where_the_backups_are_and_no_key():
    told = pghalib.master.copied.settings(PGHA, DEFAULTS, "one", "trial")
    assert told["name"] == "one"
    assert list(told["backup"]["repositories"]) == ["far", "s3"]
    assert "hidden" not in str(told)
    assert told["backup"]["url"].endswith("pgbackrest_2.60.0-1.pgdg12+1_amd64.deb")
    assert pghalib.master.copied.faults(PGHA, DEFAULTS, "one", "trial") == []


def away(repositories=None):
    """The copy is in a datacenter of its own."""
    found = pgha(repositories, datacenter="away")
    found["clusters"]["one"] = {**found["clusters"]["one"], "datacenter": "dc"}
    return {**found, "datacenters": {**PGHA["datacenters"], "away": {"servers": {"dcs9": "192.0.2.9"}}}}


def test_a_repository_host_of_another_datacenter_is_left_out():
    assert pghalib.master.copied.keepers(PGHA, DEFAULTS, "one", "trial") == ["backup1"]
    assert pghalib.master.copied.keepers(away(), DEFAULTS, "one", "trial") == []
    assert list(pghalib.master.copied.settings(away(), DEFAULTS, "one", "trial")["backup"]["repositories"]) == ["s3"]


def test_another_server_and_backups_that_no_host_of_the_copy_can_read_are_refused():
    other = pgha(postgres={"distribution": "debian", "version": 15})
    (fault,) = pghalib.master.copied.faults(other, DEFAULTS, "one", "trial")
    assert "one is postgrespro-1c 18, trial is debian 15" in fault
    assert pghalib.master.copied.faults(pgha({"far": FAR}), DEFAULTS, "one", "trial") == []
    (fault,) = pghalib.master.copied.faults(away({"far": FAR}), DEFAULTS, "one", "trial")
    assert "copy one to a cluster of its own datacenter" in fault


def test_pgbackrest_reads_the_backups_of_the_one_into_the_directory_of_the_other():
    source = pghalib.master.copied.settings(PGHA, DEFAULTS, "one", "trial")
    settings = pghalib.inventory.settings(PGHA, DEFAULTS, "db3")
    document = pghalib.backup.config.of_source(
        settings, source, {"s3": {"passphrase": "secret", "key": "k"}}, 1347421960
    )
    assert list(document) == ["global", "global:archive-push", "one"]
    assert document["one"]["pg1-path"] == "/pgdata/trial"
    assert document["one"]["pg-version-force"] == 18
    assert (document["global"]["repo1-host"], document["global"]["repo1-path"]) == ("backup1", "/backup")
    assert (document["global"]["repo2-path"], document["global"]["repo2-cipher-pass"]) == ("/one", "secret")


@pytest.fixture
def module(loader_module, monkeypatch):
    """A function: the module on a host of the copy; what it runs is in ``ran``."""

    def build(running=False, retcode=0):
        settings = pghalib.inventory.settings(PGHA, DEFAULTS, "db3")
        source = pghalib.master.copied.settings(PGHA, DEFAULTS, "one", "trial")
        salt = {
            "cmd.run_all": None,
            "pgha.settings": lambda: settings,
            "pgha_postgres.data_directory": lambda: {"running": running},
            "pgha_restore.kept": list,
        }
        found = loader_module("_modules/pgha_copy.py", salt=salt, pillar={"pgha_run": {"copied": source}})
        found.ran = []

        def run(_run_all, user, words, _env=None, stdin="", **_how):
            found.ran.append((user, words))
            found.read = stdin
            return {"retcode": retcode, "stdout": "", "stderr": "P00  ERROR: [103]: unable to find it"}

        monkeypatch.setattr(found.pghalib.host.users, "run", run)
        return found

    return build


def test_the_formulas_logins_get_the_passwords_of_the_copys_own_cluster(module, monkeypatch):
    found = module()
    own = {"superuser": "own-1", "replication": "own-2", "rewind": "own-3"}
    monkeypatch.setattr(found.pghalib.secrets.served, "own", lambda *_: own)
    found.own_passwords()
    ((_user, words),) = found.ran
    statements = found.read
    logins = re.findall(r'ALTER ROLE "(\w+)" LOGIN PASSWORD \'(\S+)\'', statements)
    assert [role for role, _ in logins] == ["postgres", "replicator", "rewind"]
    assert all(pghalib.postgres.scram.PATTERN.fullmatch(verifier) for _, verifier in logins)
    assert "own-" not in statements
    # Arguments are seen by everybody on the host.
    assert not [word for word in words if "SCRAM" in word or "ALTER" in word]
