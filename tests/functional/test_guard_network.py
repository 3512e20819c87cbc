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
ADDRESSES = {"192.0.2.1": "192.0.2.40", "fd00:2::1": "fd00:2::40"}
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
            place.run(*f"ip addr add fd00:2::{last}/64 dev {link} nodad".split())
        server = stack.enter_context(
            subprocess.Popen(host.words(sys.executable, "-c", SERVE), stdout=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        assert server.stdout.readline() == "ready\n"
        host.mac = host.ip("link show pgha-h")[0]["address"]
        yield client, host


@pytest.fixture(params=ADDRESSES.values())
def address(request, network):
    """A virtual address, which the client believes to be at the host."""
    client, host = network
    client.run(*f"ip neigh replace {request.param} lladdr {host.mac} dev pgha-c nud reachable".split())
    yield request.param
    client.run(*f"ip neigh del {request.param} dev pgha-c".split())


def test_who_asks_a_host_that_has_not_the_address_is_refused_at_once(network, address):
    client, host = network
    place = f"{address}/{64 if ':' in address else 24} dev pgha-h"
    settings = {"address": address, "port": 5432}
    assert client.connect(address) == "TimeoutError"
    assert host.guard("refuse", settings, True) == ""
    assert client.connect(address) == "ConnectionRefusedError"
    host.run(*f"ip addr add {place}{' nodad' if ':' in address else ''}".split())
    assert client.connect(address) == "connected"
    host.run(*f"ip addr del {place}".split())
    assert host.guard("refuse", settings, False) == ""
    assert client.connect(address) == "TimeoutError"


def test_a_client_that_learnt_a_wrong_place_learns_the_right_one(network, address):
    client, host = network
    client.run(*f"ip neigh replace {address} lladdr {WRONG} dev pgha-c nud reachable".split())
    # The kernel believes nothing new of a neighbour for a second (locktime), other than a gratuitous word.
    place = f"{address}/{64 if ':' in address else 24} dev pgha-h"
    host.run(*f"ip addr add {place}{' nodad' if ':' in address else ''}".split())
    assert host.guard("announce", address, "pgha-h", host.mac) == ""
    end = time.monotonic() + 10
    while (known := client.ip(f"neigh show {address}")[0]["lladdr"]) != host.mac:
        assert time.monotonic() < end, known
        time.sleep(0.01)
    assert client.connect(address) == "connected"
    host.run(*f"ip addr del {place}".split())


def test_an_address_is_here_only_where_it_is(network, address):
    """Also where programs may bind to addresses that are not there, as some want for a proxy."""
    _, host = network
    bind = 'for one in ipv4 ipv6; do echo "$0" > /proc/sys/net/$one/ip_nonlocal_bind; done'
    host.run("sh", "-c", bind, "1")
    place = f"{address}/{64 if ':' in address else 24} dev pgha-h"
    assert host.guard("is_here", address) == "False"
    host.run(*f"ip addr add {place}{' nodad' if ':' in address else ''}".split())
    assert host.guard("is_here", address) == "True"
    host.run(*f"ip addr del {place}".split())
    assert host.guard("is_here", address) == "False"
    host.run("sh", "-c", bind, "0")
