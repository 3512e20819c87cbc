"""The bridge of the lab in a network namespace: clients and the mirror stay where hosts know them."""

import json
import subprocess

from lab import keeper


def test_the_bridge_keeps_its_address_when_a_host_with_a_lower_one_comes():
    host = ("link add low address 02:00:00:00:00:00 type veth peer name host", "link set low master br0 up")

    def address(*lines):
        script = "".join(f"ip {line}\n" for line in (*keeper.BRIDGE, *lines)) + "ip -json link show br0"
        done = subprocess.run(["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)[0]["address"]

    assert address(*host) == address()
