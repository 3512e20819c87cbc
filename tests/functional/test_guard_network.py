"""The guard on a real network: who is refused there, and who learns where the address is."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from functional import places

GUARD = Path(__file__).resolve().parents[2] / "salt/pgha/guard/files/pgha-guard"
ADDRESS = "192.0.2.40"
PLACE = f"{ADDRESS}/24 dev pgha-h"
WRONG = "02:00:00:00:00:99"
# How long a client waits for an answer, and what it got.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 5432), timeout=1).close()
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""
SERVE = """
import socket, sys
server = socket.create_server(("", 5432), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""
CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import clients, host
call, *given = json.loads(sys.argv[2])
if call == "announce":
    clients.announce(*given)
elif call == "is_here":
    print(host.is_here(*given))
else:
    one = clients.Clients(given[0])
    one.refuses = not given[1]
    one.refuse(given[1])
"""


class Place(places.Place):
    def guard(self, *call):
        return self.run(sys.executable, "-c", CALL, str(GUARD), json.dumps(call)).strip()

    def connect(self, address):
        return self.run(sys.executable, "-c", CONNECT, address).strip()


@pytest.fixture(scope="module")
def network():
    """A client and a host with a server on one cable; the host has none of the virtual addresses."""
    with contextlib.ExitStack() as stack:
        client, host = Place(stack), Place(stack)
        client.run(*f"ip link add pgha-c type veth peer name pgha-h netns {host.process.pid}".split())
        for place, link, last in (client, "pgha-c", 1), (host, "pgha-h", 2):
            place.run(*f"ip link set {link} up".split())
            place.run(*f"ip addr add 192.0.2.{last}/24 dev {link}".split())
            # Hosts have such addresses as well: they change nothing.
            place.run(*f"ip addr add fd00:2::{last}/64 dev {link} nodad".split())
        server = stack.enter_context(
            subprocess.Popen(host.words(sys.executable, "-c", SERVE), stdout=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        assert server.stdout.readline() == "ready\n"
        host.mac = host.ip("link show pgha-h")[0]["address"]
        yield client, host


@pytest.fixture
def pair(network):
    """Both, where the client believes the virtual address to be at the host."""
    client, host = network
    client.run(*f"ip neigh replace {ADDRESS} lladdr {host.mac} dev pgha-c nud reachable".split())
    yield network
    client.run(*f"ip neigh del {ADDRESS} dev pgha-c".split())


def test_who_asks_a_host_that_has_not_the_address_is_refused_at_once(pair):
    client, host = pair
    settings = {"address": ADDRESS, "port": 5432}
    assert client.connect(ADDRESS) == "TimeoutError"
    assert host.guard("refuse", settings, True) == ""
    assert client.connect(ADDRESS) == "ConnectionRefusedError"
    assert client.connect("fd00:2::2") == "connected"
    host.run(*f"ip addr add {PLACE}".split())
    assert client.connect(ADDRESS) == "connected"
    host.run(*f"ip addr del {PLACE}".split())
    assert host.guard("refuse", settings, False) == ""
    assert client.connect(ADDRESS) == "TimeoutError"


def test_a_client_that_learnt_a_wrong_place_learns_the_right_one(pair):
    client, host = pair
    client.run(*f"ip neigh replace {ADDRESS} lladdr {WRONG} dev pgha-c nud reachable".split())
    # The kernel believes nothing new of a neighbour for a second (locktime), other than a gratuitous word.
    host.run(*f"ip addr add {PLACE}".split())
    assert host.guard("announce", ADDRESS, "pgha-h", host.mac) == ""
    end = time.monotonic() + 10
    while (known := client.ip(f"neigh show {ADDRESS}")[0]["lladdr"]) != host.mac:
        assert time.monotonic() < end, known
        time.sleep(0.01)
    assert client.connect(ADDRESS) == "connected"
    host.run(*f"ip addr del {PLACE}".split())


def test_an_address_is_here_only_where_it_is(network):
    """Also where programs may bind to addresses that are not there, as some want for a proxy."""
    _, host = network
    bind = 'echo "$0" > /proc/sys/net/ipv4/ip_nonlocal_bind'
    host.run("sh", "-c", bind, "1")
    assert host.guard("is_here", ADDRESS) == "False"
    host.run(*f"ip addr add {PLACE}".split())
    assert host.guard("is_here", ADDRESS) == "True"
    host.run(*f"ip addr del {PLACE}".split())
    assert host.guard("is_here", ADDRESS) == "False"
    host.run("sh", "-c", bind, "0")
