"""The preflight on a real network: firewalls, and packets that are too large for it."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from functional.places import Place

LIBRARY = Path(__file__).resolve().parents[2] / "salt/_utils"
ADDRESSES = {"a": "192.0.2.2", "b": "198.51.100.2"}
PORT, HTTP = 8301, 8008
# Seconds: for what is let through, and for what is lost.
GOOD, LOST = 20, 1
MEET = """
import json, sys
sys.path.insert(0, sys.argv[1])
import pghalib.preflight.rendezvous, pghalib.preflight.verdicts
me, own, other, ports, udp, timeout = json.loads(sys.argv[2])
found = pghalib.preflight.rendezvous.meet(
    me, own, [(other, port) for port in ports], ports, dict.fromkeys(ports, [other]),
    timeout=timeout, udp=udp, http=ports[-1],
)
print(json.dumps(pghalib.preflight.verdicts.reachability(found, {})))
"""


class Network:
    """Two hosts with a router between them. Their interfaces take larger packets than the network between."""

    def __init__(self, stack, size, between):
        self.hosts = {name: Place(stack) for name in ADDRESSES}
        self.router = Place(stack)
        self.router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for name, address in ADDRESSES.items():
            host, gateway = self.hosts[name], address.rpartition(".")[0] + ".1"
            self.router.run(*f"ip link add to-{name} type veth peer name eth0 netns {host.process.pid}".split())
            self.router.run(*f"ip addr add {gateway}/24 dev to-{name}".split())
            self.router.run(*f"ip link set to-{name} mtu {between} up".split())
            host.run(*f"ip addr add {address}/24 dev eth0".split())
            host.run(*f"ip link set eth0 mtu {size} up".split())
            host.run(*f"ip route add default via {gateway}".split())

    @staticmethod
    def rule(place, hook, what):
        chain = f"add chain inet wall {hook} {{ type filter hook {hook} priority 0; }}"
        place.run("nft", f"add table inet wall; {chain}; add rule inet wall {hook} {what}")

    def meet(self, timeout, udp=None):
        """What each host, by its name, does not reach."""
        running = {}
        for name, other in ("a", "b"), ("b", "a"):
            given = [name, ADDRESSES[name], ADDRESSES[other], [PORT, HTTP], udp, timeout]
            words = self.hosts[name].words(sys.executable, "-c", MEET, str(LIBRARY), json.dumps(given))
            running[name] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        return {name: json.loads(process.communicate(timeout=60)[0]) for name, process in running.items()}


@pytest.fixture
def network():
    with contextlib.ExitStack() as stack:
        yield lambda size=1500, between=1500: Network(stack, size, between)


def unreached(other, where, why):
    return f"cannot reach {ADDRESSES[other]} ({ADDRESSES[other]}) at {where}: {why}"


@pytest.mark.parametrize(("size", "between"), [(1500, 1450), (9000, 1500), (9000, 8950)])
def test_large_packets_that_a_tunnel_swallows_are_named(network, size, between):
    tunnel = network(size, between)
    tunnel.rule(tunnel.router, "output", "icmp type destination-unreachable drop")
    why = "small packets arrive, large ones do not (compare the MTU of both hosts' interfaces"
    why += " with that of the network between them)"
    ports = f"{PORT}/tcp, {HTTP}/tcp"
    assert tunnel.meet(GOOD) == {"a": [unreached("b", ports, why)], "b": [unreached("a", ports, why)]}


def test_a_tunnel_that_says_what_is_too_large_for_it_is_no_fault(network):
    assert network(1500, 1450).meet(GOOD, udp=PORT) == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("reject", "why"),
    [
        ("admin-prohibited", "unreachable (the host is off, or a firewall rejects what is sent to it)"),
        ("host-prohibited", "unreachable (the host is off, or a firewall rejects what is sent to it)"),
        ("net-prohibited", "no route (no route of this host leads there, or a firewall rejects what is sent to it)"),
        ("port-unreachable", "refused (its preflight did not run at the same time, or a firewall rejects it)"),
    ],
)
def test_a_firewall_that_rejects_is_named_as_one(network, reject, why):
    wall = network()
    wall.rule(wall.hosts["b"], "input", f"tcp dport {HTTP} reject with icmp type {reject}")
    assert wall.meet(LOST)["a"] == [unreached("b", f"{HTTP}/tcp", why)]


@pytest.mark.parametrize(
    ("host", "hook", "what", "why"),
    [
        ("a", "output", "drop", "not permitted (a firewall of this host forbids it)"),
        (
            "b",
            "input",
            "reject with icmp type admin-prohibited",
            "unreachable (the host is off, or a firewall rejects what is sent to it)",
        ),
        ("b", "input", "drop", "timed out (a firewall here, there or in between, or the host is off)"),
    ],
)
def test_what_a_firewall_does_with_datagrams_is_named_as_well(network, host, hook, what, why):
    wall = network()
    wall.rule(wall.hosts[host], hook, f"udp dport {PORT} {what}")
    assert wall.meet(LOST, udp=PORT)["a"] == [unreached("b", f"{PORT}/udp", why)]
