"""A member's data: behind a link, on a disk that is not mounted, lost; and the packages' own service beside them."""

import pytest
from integration import formula
from integration.cluster import service
from lab.tools import wait_for

MOUNT = "/usr/lib/systemd/system/pgdata.mount"
UNIT = "[Unit]\nDescription=The disk of the data\n[Mount]\nWhat=/disk\nWhere=/pgdata\nType=none\nOptions=bind\n"
OWN = "postgrespro-1c-18"


@pytest.fixture(scope="module")
def host(cluster):
    """A replica's host."""
    cluster.wait_healthy()
    return cluster.replicas()[0]


def refused(cluster, host):
    """The text of a run that is refused for this host's data, and that made no directory for others."""
    run = formula.run(cluster.lab)
    assert run.code == 1, run.text
    assert host.run(["test", "-e", "/pgdata/test"], check=False).returncode != 0
    assert service(host, "patroni")[0] != "active"
    return run.text


def test_a_service_that_an_update_enables_stays_off_at_the_next_boot(cluster, host):
    host.run(["systemctl", "enable", OWN])
    assert service(host, OWN)[0] == "inactive"
    # As a package's own script does, which must not fail.
    host.run(["systemctl", "start", OWN])
    host.poweroff()
    host.poweron()
    cluster.lab.wait_ready()
    cluster.wait_healthy()
    assert service(host, OWN)[0] == "inactive"
    done = cluster.lab.salt("salt", host.name, "pgha_postgres.started_by_others", "--out=json", "--static")
    assert "[]" in done.stdout
    assert formula.run(cluster.lab).code == 0
    assert host.run(["systemctl", "is-enabled", OWN], check=False).stdout.strip() == "disabled"


def test_data_behind_a_link_of_roots_are_ours(cluster, host):
    host.run(
        ["sh", "-c", "systemctl stop patroni && mv /pgdata /disk && ln -s disk /pgdata && systemctl start patroni"]
    )
    cluster.wait_healthy()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    # It waits for both at the next boot.
    assert "RequiresMountsFor=/pgdata/test /disk/test" in host.read("/etc/systemd/system/patroni.service")
    formula.changes_nothing(cluster.lab)


def test_the_disk_of_the_data_is_noted(cluster, host):
    host.write(MOUNT, UNIT)
    steps = (
        "systemctl stop patroni && rm /pgdata && mkdir /pgdata && systemctl daemon-reload"
        " && systemctl start pgdata.mount && systemctl start patroni"
    )
    host.run(["sh", "-c", steps])
    cluster.wait_healthy()
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    assert '"mount": "/pgdata"' in host.read("/etc/pgha/member.json")
    formula.changes_nothing(cluster.lab)


def test_nothing_is_copied_to_another_disk_while_that_of_the_data_is_not_mounted(cluster, host):
    # A disk that is there no more: systemd would pass over a unit that is masked.
    host.write(MOUNT, UNIT.replace("/disk\n", "tmpfs\n").replace("none", "tmpfs").replace("=bind", "=no-such-option"))
    host.poweroff()
    host.poweron()
    cluster.lab.wait_ready()
    text = refused(cluster, host)
    assert "mount the disk of /pgdata" in text
    assert "pgha:new_data" in text
    host.write(MOUNT, UNIT)
    host.run(["sh", "-c", "systemctl daemon-reload && systemctl start patroni"])
    cluster.wait_healthy()
    assert host.run(["test", "-e", "/pgdata/test/PG_VERSION"], check=False).returncode == 0
    formula.changes_nothing(cluster.lab)


def test_a_new_copy_that_a_person_asks_patroni_for_is_no_loss(cluster, host):
    def age():
        return host.run(["stat", "-c", "%Z", "/pgdata/test/PG_VERSION"], check=False).stdout

    before = age()
    host.run(["sh", "-c", '/opt/patroni/bin/patronictl -c /etc/patroni/patroni.yml reinit --force test "$(hostname)"'])
    wait_for(lambda: age() != before, timeout=60, what="the former data are gone")
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text
    cluster.wait_healthy()


def test_data_that_are_lost_need_a_word_by_name(cluster, host, pillar):
    host.run(["sh", "-c", "systemctl stop patroni && rm -r /disk/test"])
    assert "bring them back" in refused(cluster, host)
    pillar.put({"new_data": [host.name]})
    try:
        run = formula.run(cluster.lab)
    finally:
        pillar.put({})
    assert run.code == 0, run.text
    cluster.wait_healthy()
    formula.changes_nothing(cluster.lab)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            {"hosts": {"test-db1": {"address": "198.51.100.21", "name": "pg1"}}},
            ["runs as the member test-db1, the pillar says pg1", "test-db1 is a member of test that runs"],
        ),
        ({"patroni": {"namespace": "/prod/"}}, ["has its cluster in the DCS below /db/, the pillar says /prod/"]),
    ],
)
def test_a_living_member_keeps_its_name_and_its_rights(cluster, pillar, test, said):
    def rights():
        return cluster.consul("acl", "policy", "read", "-name=patroni-test")

    before = cluster.services(), rights()
    pillar.put({"clusters": {"test": test}})
    try:
        run = formula.run(cluster.lab)
    finally:
        pillar.put({})
    assert run.code == 1
    assert [sentence for sentence in said if sentence not in run.text] == []
    assert (cluster.services(), rights()) == before
    cluster.wait_healthy()
