"""What the guard asks of its host, and does there: programs, addresses, the journal."""

import json
import re
import socket
import subprocess

# Seconds to wait for an answer or a program.
PATIENCE = 2


def run(*words, **more):
    """Run a program and return (what it says, what it complains of or why it could not be run)."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout, (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def is_here(address):
    """
    Return whether the host has an address, without a program: this is asked all the time. Not by binding to it, which
    succeeds everywhere where net.ipv4.ip_nonlocal_bind is set.
    """
    if ":" in address:
        with open("/proc/net/if_inet6", encoding="ascii") as file:
            return any(line.split()[0] == socket.inet_pton(socket.AF_INET6, address).hex() for line in file)
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        return re.search(rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL\n", file.read()) is not None


def addresses():
    """Return the addresses of this host, each with its interface."""
    links = json.loads(run("/sbin/ip", "-j", "addr", "show")[0] or "[]")
    return [
        {**one, "ifname": link["ifname"], "mac": link.get("address", "")}
        for link in links
        for one in link.get("addr_info", ())
        if "local" in one
    ]


def say(what):
    """Write a line to the journal."""
    print(what, flush=True)
