"""
What the clusters are doing, put together from what the hosts told, and as tables that a person reads.

Pure functions: the runner ``pgha.status`` asks the hosts.
"""

import pgha_consul_drift

LEADERS = ("leader", "standby_leader")


def summary(plan, told):
    """
    Return the state of everything in an inventory, with what is wrong with it.

    plan
        The result of ``pgha.plan``.
    told
        For each minion id that answered the result of ``pgha.status`` on it, or a text that says why there is none.

    The keys: ``datacenters``, ``clusters`` (a mapping by name each), ``faults`` (a list of lines, empty when all is
    well).
    """
    faults = [f"{host}: {_silence(told.get(host))}" for host in plan["hosts"] if not isinstance(told.get(host), dict)]
    faults += [
        f"{host}: {fault}" for host in plan["hosts"] if isinstance(told.get(host), dict) for fault in _tls(told[host])
    ]
    datacenters = {name: _datacenter(name, hosts, told, faults) for name, hosts in plan["datacenters"].items()}
    clusters = {name: _cluster(name, hosts, told, faults) for name, hosts in plan["clusters"].items()}
    faults += [line for host in plan["hosts"] for line in _pending(host, told.get(host))]
    return {"datacenters": datacenters, "clusters": clusters, "faults": faults}


def _pending(host, answer):
    waiting = (answer.get("pending") or {}) if isinstance(answer, dict) else {}
    return [f"{host}: {service} waits for a restart: {'; '.join(why)}" for service, why in waiting.items()]


def _silence(answer):
    return f"did not answer as it should: {answer}" if answer else "did not answer; is its salt-minion running?"


def _tls(answer):
    tls = answer.get("tls")
    if not tls:
        return []
    found = [f"{port} shows another certificate than the one on the disk; restart it" for port in tls["outdated"]]
    if not tls["until"]:
        found.append("there is no certificate; run the main job")
    elif tls["due"]:
        found.append(f"the certificate ends in {tls['days']:.0f} days ({tls['until'][:10]}); the main job renews it")
    return found


def _datacenter(name, hosts, told, faults):
    seen = [(told[host] or {}).get("consul") for host in hosts if isinstance(told.get(host), dict)]
    seen = [health for health in seen if health and health.get("leader")]
    if not seen:
        faults.append(f"Consul {name}: no server knows a leader")
        return {"leader": None, "members": []}
    health = seen[0]
    leaders = sorted({str(other["leader"]) for other in seen})
    if len(leaders) > 1:
        faults.append(f"Consul {name}: the servers disagree about the leader: {', '.join(leaders)}")
    for member in health["members"]:
        if member["status"] != "alive":
            faults.append(f"Consul {name}: {member['name']} is {member['status']}")
    foreign = [peer for peer in health.get("foreign_servers") or [] if isinstance(peer, dict)]
    faults += [f"Consul {name}: {pgha_consul_drift.server_sentence(peer)}" for peer in foreign]
    own = len(health.get("voters") or ()) - sum(bool(peer.get("voter")) for peer in foreign)
    if health.get("voters") is not None and own != len(hosts):
        faults.append(f"Consul {name}: {own} voters instead of {len(hosts)}")
    tokens = [told[host].get("foreign_tokens") for host in hosts if isinstance(told.get(host), dict)]
    for token in next((found for found in tokens if found is not None), []):
        faults.append(f"Consul {name}: {pgha_consul_drift.token_sentence(token)}")
    return {"leader": health["leader"], "members": health["members"], "voters": health.get("voters")}


def _cluster(name, hosts, told, faults):
    answers = {host: told[host] for host in hosts if isinstance(told.get(host), dict)}
    members = {}
    for answer in answers.values():
        for member in answer.get("members") or []:
            members.setdefault(member["name"], member)
    holders = sorted(answer["name"] for answer in answers.values() if answer.get("holds_vip"))
    leaders = sorted(member["name"] for member in members.values() if member["role"] in LEADERS)
    if not leaders:
        faults.append(f"{name}: no leader")
    if any(answer.get("paused") for answer in answers.values()):
        faults.append(f"{name}: Patroni is paused, so nobody takes over from a dead leader; patronictl resume ends it")
    names = {answer["name"] for answer in answers.values()}
    for lost in sorted(names - set(members)):
        faults.append(f"{name}: {lost} is no member; see journalctl -u patroni there")
    for member in members.values():
        if member["state"] != ("running" if member["role"] in LEADERS else "streaming"):
            faults.append(f"{name}: {member['name']} ({member['role']}) is {member['state']}")
    vip = next((answer["vip"] for answer in answers.values() if answer.get("vip")), None)
    if vip and holders != leaders:
        faults.append(
            f"{name}: {vip} is on {', '.join(holders) or 'no host'}, the leader is {', '.join(leaders) or 'nobody'}"
        )
    return {"members": sorted(members.values(), key=lambda member: member["name"]), "vip": vip, "vip_holders": holders}


def text(state):
    """Return a summary as tables: the clusters first, then Consul, then what is wrong."""
    parts = []
    for name, cluster in state["clusters"].items():
        head = f"cluster {name}"
        if cluster["vip"]:
            head += f", virtual IP {cluster['vip']} on {', '.join(cluster['vip_holders']) or 'NO HOST'}"
        rows = [
            (
                member["name"],
                member.get("host", ""),
                "sync standby" if member.get("sync") or member["role"] == "sync_standby" else member["role"],
                member["state"],
                _plain(member.get("timeline")),
                "" if member["role"] == "leader" else _plain(member.get("lag")),
                "yes" if member["name"] in cluster["vip_holders"] else "",
            )
            for member in cluster["members"]
        ]
        parts.append(head + "\n" + _table(("member", "address", "role", "state", "timeline", "lag", "VIP"), rows))
    for name, datacenter in state["datacenters"].items():
        rows = [
            (
                member["name"],
                member["address"],
                member["type"],
                member["status"],
                member.get("build", ""),
                "leader" if member["name"] == datacenter["leader"] else "",
            )
            for member in sorted(datacenter["members"], key=lambda member: (member["type"] != "server", member["name"]))
        ]
        parts.append(f"Consul {name}\n" + _table(("node", "address", "type", "status", "version", "raft"), rows))
    faults = state["faults"]
    parts.append(
        "\n".join(["WRONG:", *(f"  - {fault}" for fault in faults)]) if faults else "Everything is as it should be."
    )
    return "\n\n".join(parts)


def progress(event, jobs):
    """
    Return what one event of the master's bus says about a running orchestration: a line or None, and how it ended.

    event
        Mapping with ``tag`` and ``data``.
    jobs
        The jobs seen so far, by jid; changed by this.

    The second value is None while it goes on, True or False at its end.
    """
    tag, data = event["tag"].split("/"), event["data"]
    if tag[:2] == ["salt", "job"] and tag[3:] == ["new"] and data.get("fun") == "state.sls":
        names = data["arg"][0] if isinstance(data["arg"][0], list) else [data["arg"][0]]
        jobs[tag[2]] = " ".join(map(str, names))
        return f"{jobs[tag[2]]}: started on {', '.join(data['minions'])}", None
    if tag[:2] == ["salt", "job"] and tag[3:4] == ["ret"] and tag[2] in jobs:
        word = "done" if data.get("retcode") == 0 else "FAILED"
        return f"{jobs[tag[2]]}: {data['id']} {word}", None
    if tag[:2] == ["salt", "run"] and tag[3:] == ["ret"] and data.get("fun") == "runner.state.orchestrate":
        return None, bool(data.get("success")) and (data.get("return") or {}).get("retcode", 0) == 0
    return None, None


def _plain(value):
    return "" if value is None else str(value)


def _table(head, rows):
    rows = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join("  " + line for line in lines)
