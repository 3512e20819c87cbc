"""What the guard asks of its host, and does there: programs, addresses, the journal."""

import contextlib
import json
import re
import socket
import struct
import subprocess

# Seconds to wait for an answer or a program.
PATIENCE = 2
# A question about a socket, of the family NETLINK_SOCK_DIAG (linux/sock_diag.h, linux/inet_diag.h).
SOCK_DIAG, BY_FAMILY, NO_COOKIE, LISTEN = 4, 20, 0xFFFFFFFF, 10
# Where the kernel's tables of sockets are, and the state of one that listens.
TABLES, LISTENS = "/proc/net", b"0A"
# Bytes to read of them at a time, less than two rows: the kernel looks for more rows as long as more are asked for.
ROW = 256


def run(*words, **more):
    """Run a program and return (what it says, what it complains of or why it could not be run)."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout, (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def is_here(address):
    """
    Return whether the host has an address (of IPv4), without a program: this is asked all the time. Not by binding to
    it, which succeeds everywhere where net.ipv4.ip_nonlocal_bind is set.
    """
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        return re.search(rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL\n", file.read()) is not None


def listener(address, port):
    """
    Return the socket that gets a connection to an address (of IPv4) and port of this host, as (number of its user, its
    own number); None when nobody listens there.
    """
    with contextlib.suppress(OSError):
        if found := looked_up(address, port):
            return found
    # Nobody listens there, or this kernel answers no such questions.
    return in_tables(address, port)


def looked_up(address, port):
    """Ask the kernel for the socket that gets a connection: it looks as it does for a connection (0.02 ms)."""
    asked = struct.pack("=BBHI", socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << LISTEN)
    # From nobody: so no connection is meant.
    asked += struct.pack("!HH16s16s", port, 0, socket.inet_pton(socket.AF_INET, address), b"")
    asked += struct.pack("=III", 0, NO_COOKIE, NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, SOCK_DIAG) as kernel:
        kernel.settimeout(PATIENCE)
        kernel.send(struct.pack("=IHHII", 16 + len(asked), BY_FAMILY, 1, 0, 0) + asked)
        said = kernel.recv(8192)
    # The head has 16 bytes; then family, state, two more, the socket's ends (48), and five numbers.
    if struct.unpack_from("=IH", said)[1] != BY_FAMILY or said[17] != LISTEN:
        return None
    return struct.unpack_from("=II", said, 16 + 4 + 48 + 12)


def in_tables(address, port):
    """Look for that socket in the kernel's tables. It takes up to ten milliseconds, on a host with much memory."""
    own = place(socket.inet_pton(socket.AF_INET, address), port)
    # A socket of IPv6 for all addresses may get what comes by IPv4 as well.
    for table, length in ("tcp", 4), ("tcp6", 16):
        everywhere, found = place(bytes(length), port), None
        for row in listening(table):
            # The kernel prefers it to a socket for all addresses, which anybody may have opened beside it.
            if row[1] == own:
                return int(row[7]), int(row[9])
            if row[1] == everywhere:
                found = int(row[7]), int(row[9])
        if found:
            return found
    return None


def place(packed, port):
    """An address and a port as the kernel's tables have them: words of 32 bits in the machine's order."""
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return b"".join(b"%08X" % word for word in words) + b":%04X" % port


def listening(table):
    """
    The rows of the sockets that listen, with which a table begins. What is connected is not read: thousands of rows on
    a host with many clients, which take milliseconds.
    """
    # Without IPv6 there is no tcp6.
    with contextlib.suppress(FileNotFoundError), open(f"{TABLES}/{table}", "rb", ROW) as file:
        next(file, None)
        for line in file:
            row = line.split()
            if row[3] != LISTENS:
                return
            yield row


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
