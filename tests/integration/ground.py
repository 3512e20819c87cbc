"""
What the lab is before a module of tests begins: bare hosts, or a cluster of one kind. It is looked at and not
remembered, so each module can be run alone, in any order, and on a lab that was used before.
"""

import json

from integration import formula
from integration.cluster import Cluster
from lab.tools import wait_for


def used(lab):
    """
    Whether the formula has deployed anything from this lab's master. A dry run makes the store's directory and no more.
    """
    return lab.master.run(["test", "-e", f"{formula.STORE}/index.json"], check=False).returncode == 0


def restoring(lab):
    """Whether a restore has begun on this lab and did not end: its hosts are of no use."""
    return lab.master.run(["test", "-e", f"{formula.STORE}/restore-test.json"], check=False).returncode == 0


def touched(lab):
    """Names of the hosts that have anything of the formula's."""
    paths = ["/etc/consul.d", "/etc/patroni", "/opt/patroni", "/opt/consul", "/pgdata", "/etc/vip-manager"]
    script = 'for path; do test ! -e "$path" || echo "$path"; done; grep -l pgha: /etc/hosts'
    return [
        host.name for host in lab.hosts.values() if host.run(["sh", "-c", script, "sh", *paths], check=False).stdout
    ]


def bare(lab):
    """Make every host new, except the master, whose store is emptied; nothing is done on a lab that is new."""
    if used(lab):
        for host in lab.hosts.values():
            if host is not lab.master:
                host.reset(wait=False)
        lab.master.run(["rm", "-rf", formula.STORE])
    lab.wait_ready()
    lab.salt("salt-run", "saltutil.sync_all")


def fresh(lab, name):
    """Make the hosts of a cluster new where anything was deployed: another test may want another PostgreSQL there."""
    hosts = [host for host in lab.hosts.values() if host.name.startswith(f"{name}-")]
    if {host.name for host in hosts} & set(touched(lab)):
        for host in hosts:
            host.reset(wait=False)
        lab.wait_ready()


def plain(lab, pillar):
    """The first cluster, healthy, without encryption, and as the lab's pillar has it."""
    changed = pillar.put({})
    if not used(lab) or True in formula.store(lab, "index").get("tls", {}).values() or restoring(lab):
        bare(lab)
    cluster = Cluster(lab)
    if changed or cluster.why_not_healthy() or len(cluster.voters()) != len(cluster.dcs):
        run = formula.run(lab)
        assert run.code == 0, run.text
    cluster.wait_healthy()
    return cluster


def forget(cluster, name):
    """Take a second cluster out of Consul that has left the pillar, as the runbook has it; its hosts become quiet."""
    hosts = [host for host in cluster.lab.hosts.values() if host.name.startswith(f"{name}-")]
    for host in hosts:
        host.run(["systemctl", "disable", "--now", "patroni", "consul"], check=False)
    members = cluster.consul("members")
    for host in hosts:
        if host.name in members:
            cluster.consul("force-leave", "-prune", host.name)
    for token in json.loads(cluster.consul("acl", "token", "list", "-format=json")):
        if name in token["Description"]:
            cluster.consul("acl", "token", "delete", "-id", token["AccessorID"])
    cluster.consul("kv", "delete", "-recurse", f"db/{name}/")

    def silent():
        return cluster.lab.salt("salt-run", "pgha.status", "-l", "quiet", check=False).returncode == 0

    wait_for(silent, timeout=60, what="the status has nothing to say", interval=2)
