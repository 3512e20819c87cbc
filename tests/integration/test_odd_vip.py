"""The virtual IP moved by Patroni's callback: where sudo does not let it, and on a leader that nobody reaches."""

import json
import time

import pytest
from integration import formula
from lab.tools import wait_for

# Seconds: the lease of a leader in the profile `fast`; it does not end before by gossip here.
TTL = 20


@pytest.fixture(autouse=True, scope="module")
def callback(cluster, pillar):
    """Patroni moves the address of a cluster that loses no write; the next module's ``cluster`` is as usual again."""
    synchronous = {"synchronous_mode": "on", "rto": "fast", "serf_health": False}
    pillar.put({"only": [cluster.name], "vip": {"manager": "callback"}, "patroni": synchronous})
    run = formula.run(cluster.lab)
    assert run.code == 0, run.text


def configured(host):
    """The states that are not good of an attempt to configure Patroni."""
    done = host.lab.salt("salt", host.name, "state.apply", "pgha.patroni.config", "--out=json", "--static", check=False)
    return [state for state in json.loads(done.stdout)[host.name].values() if state["result"] is not True]


@pytest.mark.parametrize(
    "spoil",
    [
        "sed -i 's/^@includedir/#&/' /etc/sudoers",
        "echo 'postgres ALL=(ALL) PASSWD: ALL' > /etc/sudoers.d/zz-later; chmod 440 /etc/sudoers.d/zz-later",
    ],
)
def test_a_right_that_is_missing_is_named_before_patroni_relies_on_it(cluster, spoil):
    host = cluster.replicas()[0]
    assert configured(host) == []
    host.run(["cp", "-p", "/etc/sudoers", "/root/sudoers"])
    try:
        host.run(["sh", "-c", spoil])
        first, *rest = configured(host)
        assert first["__id__"] == "postgres may move the virtual IP"
        assert "'@includedir /etc/sudoers.d'" in first["comment"]
        assert [state["__id__"] for state in rest] == ["Patroni is configured"]
    finally:
        host.run(["sh", "-c", "rm -f /etc/sudoers.d/zz-later; mv /root/sudoers /etc/sudoers"])
    assert configured(host) == []


def test_other_settings_of_sudo_do_not_take_the_right_away(cluster):
    host = cluster.replicas()[0]
    path = "/etc/sudoers.d/aa-hardened"
    host.write(path, "Defaults requiretty, use_pty, noexec, secure_path=/nowhere\n", mode="0440")
    try:
        assert configured(host) == []
    finally:
        host.run(["rm", "-f", path])


def test_a_restarted_leader_has_the_address_again(cluster):
    leader = cluster.leader()
    command = f"patronictl restart {cluster.name} {leader.name} --force"
    leader.run(["su", "-", "postgres", "-c", command])
    # Longer than the address waits for PostgreSQL.
    time.sleep(3)
    cluster.wait_healthy()
    assert cluster.leader() is leader


def test_an_address_that_the_hosts_network_has_taken_away_comes_back(cluster, ledger):
    """As systemd-networkd does when it is restarted: Patroni's callback is not called then."""
    leader = cluster.leader()
    leader.run(["ip", "addr", "flush", "to", cluster.vip])
    wait_for(lambda: cluster.vip in leader.addresses(), timeout=20, what="the address is back", interval=0.2)
    ledger.wait_for_writes()
    assert cluster.leader() is leader
    assert "was gone while this host led, and is put back\n" in leader.run(["journalctl", "-u", "pgha-guard"]).stdout


def test_the_address_leaves_a_leader_that_is_cut_off_before_its_lease_ends(cluster, ledger, observer):
    cluster.wait_synchronous()
    leader = cluster.leader()
    leader.cut()

    def another():
        return [one for one in cluster.members() if one["role"] == "leader" and one["name"] != leader.name]

    try:
        # Before, nobody else can lead.
        wait_for(lambda: cluster.vip not in leader.addresses(), timeout=TTL, what="the address is gone")
        wait_for(another, timeout=TTL + 20, what="another member leads")
    finally:
        leader.repair()
    # The master gives up the connection of a minion that was silent for half a minute.
    cluster.lab.wait_ready()
    cluster.wait_healthy()
    ledger.wait_for_writes()
    assert cluster.leader() is not leader
