#!/usr/bin/python3 -I
"""
Written by Salt (pgha); changes here are lost.

The guard of a database host: where Patroni cannot step down in time because it is dead or hung, the guard takes the
virtual IP away and stops PostgreSQL before another member can lead.

    pgha-guard FILE

    FILE: {"url": "http://ADDRESS:8008", "limit": 18, "fresh": 12, "interval": 0.25, "address": VIRTUAL IP or null,
           "port": 5432, "data_dir": "/pgdata/CLUSTER", "program": "/…/bin/postgres"}
                                                                (limit, fresh and interval in seconds)

The age of the lease decides: Patroni is asked again and again whether this host has the leader's lock. ``limit``
seconds after its last yes the lease may soon be over, and somebody else may lead. Patroni itself steps down before that
moment when it lives, so there is nothing to do then.

It also helps clients to find the new leader at once when the virtual IP moves:
- A host that leads tells its network each second that the address is here (ARP, neighbour discovery): another host may
  have said so after it, such as one that stood still and goes on where it was. Not when its Patroni has not seen the
  DCS for a while: then another one may lead, which is to be heard.
- A host that has led refuses, for some seconds, who connects to the address there. Without an answer, a client's system
  would ask again only a second or more later.

What the guard never does:
- It does not act on a host whose Patroni it has not heard say that this host leads: so a guard that asks at a wrong
  place does no harm.
- It does not act while Patroni is paused, also when Patroni is stopped during the pause.
- It does not stop a server twice: what a person starts by hand after that is left alone.
- It starts nothing. Patroni starts the server again as a replica.

Nothing secret is sent and nothing is changed by what is answered, so no certificate is verified: whoever could answer
in Patroni's place can keep the guard quiet, and no more.
"""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.parse

# Seconds to wait for an answer or a program, and for a server that was told to stop before it is killed.
PATIENCE = 2
DYING = 5
# States of a postmaster in which no client can write: it recovers, or it ends and has told its clients so.
PASSING = ("starting", "stopping")
# Questions without a yes after which the guard may act: when the whole host stood still, Patroni can answer first.
MISSES = 2
# What a member is for Patroni when it has given the leadership up.
FOLLOWS = ("replica", "demoted")
# Seconds after which a leader tells its network again where the address is.
AGAIN = 1
# Seconds for which a host refuses that has lost the address. A refusal keeps a client's system from finding out that
# the address is elsewhere: it takes it for a sign of life (seen with Linux 6.18).
REFUSING = 3
# Only the first packet of a connection is refused: what was connected outlives a moment without the address.
REFUSED = """
table inet pgha_guard
delete table inet pgha_guard
table inet pgha_guard {{
    chain absent {{
        type filter hook prerouting priority raw; policy accept;
        {family} daddr {address} fib daddr type local accept
        {family} daddr {address} tcp dport {port} tcp flags & (syn | ack) == syn reject with tcp reset
    }}
}}
"""
ACCEPTED = "table inet pgha_guard\ndelete table inet pgha_guard\n"


class Guard:
    """What the guard knows of one member, and what it does."""

    def __init__(self, settings):
        self.settings = settings
        # When Patroni last said yes (seconds since the boot), whether it was paused, and questions without a yes since.
        self.held, self.paused, self.misses = None, False, 0
        # When the address was last here and when that was last told, its link (name, hardware address), and whether its
        # clients are refused.
        self.here, self.told, self.link, self.refuses = None, 0, None, False
        # Why clients could not be helped the last time, which is said once.
        self.trouble = None

    def round(self):
        """Ask once, and act if the lease may be over."""
        # The clock of the boot goes on while a host is suspended.
        begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        code, said = self.ask()
        if code:
            self.paused = said.get("pause") is True
        if self.settings["address"]:
            self.help_clients(begun, code, said)
        if code == 200:
            self.held, self.misses = begun, 0
            return
        self.misses += 1
        if self.held is None or self.paused:
            return
        if said.get("role") in FOLLOWS:
            self.take_address("this host does not lead any more")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - self.held
        if age > self.settings["limit"] and self.misses >= MISSES:
            self.fence(f"for {age:.0f} s Patroni has not said that this host leads, and the lease may be over")

    def ask(self):
        """Return (the code of Patroni's answer, its content as a mapping); (None, {}) without an answer."""
        where = urllib.parse.urlsplit(self.settings["url"])
        if where.scheme == "https":
            # Not verified, see above.
            asked = http.client.HTTPSConnection(
                where.netloc,
                timeout=PATIENCE,
                context=ssl._create_unverified_context(),  # noqa: S323
            )
        else:
            asked = http.client.HTTPConnection(where.netloc, timeout=PATIENCE)
        try:
            with contextlib.closing(asked):
                asked.request("GET", "/leader")
                answer = asked.getresponse()
                said = json.loads(answer.read(65536))
                return answer.status, said if isinstance(said, dict) else {}
        except (OSError, http.client.HTTPException, ValueError):
            return None, {}

    def help_clients(self, now, code, said):
        """
        Tell or refuse those who look for the address: ``code`` and ``said`` are Patroni's answer at ``now``. Whatever
        fails of it must not keep the guard from its work.
        """
        try:
            self.show(now, code, said)
        except (OSError, ValueError) as error:
            if str(error) != self.trouble:
                say(f"clients may look for the address at a wrong place: {error}")
            self.trouble = str(error)

    def show(self, now, code, said):
        """Do that."""
        here = is_here(self.settings["address"])
        self.here = now if here else self.here
        ready = self.server() == "ready"
        # It begins as soon as the server ends, while the address is still here and its port refuses as well: so nobody
        # is refused who would have been served. A Patroni that only starts again is no reason.
        reason = not ready or code not in (200, None) or (code is None and self.refuses)
        self.refuse(reason and self.here is not None and now - self.here < REFUSING)
        if not here:
            self.link = None
        elif code == 200 and now - self.told >= AGAIN and self.fresh(said):
            self.told = now
            self.tell()

    def refuse(self, wanted):
        """Refuse who connects to the address while it is not here, or stop to."""
        if self.refuses is wanted:
            return
        address = self.settings["address"]
        rules = (REFUSED if wanted else ACCEPTED).format(
            family="ip6" if ":" in address else "ip", address=address, port=self.settings["port"]
        )
        # Noted before it is tried: where it is impossible the journal says so once a change, and not in each round.
        self.refuses = wanted
        _, why = run("/usr/sbin/nft", "-f", "-", input=rules)
        if why:
            say(f"who connects to {address} while it is not here is not refused, and waits: {why}")

    def fresh(self, said):
        """Whether Patroni has seen the DCS in one of its last loops, as it says."""
        seen = said.get("dcs_last_seen")
        return not isinstance(seen, (int, float)) or time.time() - seen <= self.settings["fresh"]

    def tell(self):
        """Tell the network that the address is here."""
        address = self.settings["address"]
        for entry in addresses() if self.link is None else ():
            if entry["local"] == address:
                self.link = entry["ifname"], entry["mac"]
        if self.link:
            announce(address, *self.link)

    def server(self):
        """The postmaster's word for its state, "" when no primary runs here."""
        with self.primary() as (_process, state):
            return state

    def fence(self, why):
        """Take the address away and stop a server that takes writes; afterwards there is no lease to look after."""
        self.take_address(why)
        with self.primary() as (process, state):
            if state in PASSING:
                # It takes no writes now; what becomes of it is seen in the next round.
                return
            if process is not None:
                say(f"PostgreSQL is stopped: {why}")
                stop(process)
        self.held = None

    def take_address(self, why):
        """Take the virtual IP away if it is here."""
        address = self.settings["address"]
        if not address or not is_here(address):
            return
        for entry in addresses():
            if entry["local"] == address:
                place = f"{address}/{entry['prefixlen']}", "dev", entry["ifname"]
                _, done = run("/sbin/ip", "addr", "del", *place)
                say(f"{address} is taken from {entry['ifname']}{done and f' in vain ({done})'}: {why}")

    @contextlib.contextmanager
    def primary(self):
        """
        A handle of the postmaster of this member and its own word for its state; None and "" when none runs, or when
        it is a replica's.
        """
        handle, state, place = None, "", self.settings["data_dir"]
        with contextlib.suppress(OSError, ValueError, OverflowError):
            # The directory is not root's: no link is followed, and the process is looked at.
            with open(os.open(f"{place}/postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                lines = file.read(4096).split(b"\n")
            pid = int(lines[0])
            if pid > 1 and not os.path.lexists(f"{place}/standby.signal"):
                handle = os.pidfd_open(pid)
                if os.readlink(f"/proc/{pid}/exe") == os.path.realpath(self.settings["program"]):
                    # The eighth line, see PostgreSQL's miscadmin.h.
                    state = b"".join(lines[7:8]).strip().decode("ascii", "replace")
                else:
                    os.close(handle)
                    handle = None
        try:
            yield handle, state
        finally:
            if handle is not None:
                os.close(handle)


def stop(process):
    """Stop a postmaster at once, as in an immediate shutdown: nothing that was acknowledged is lost by that."""
    for sign in (signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, sign)
        if ended(process, DYING):
            return


def ended(process, seconds):
    """Wait for the end of a process, and return whether it came."""
    return bool(select.select([process], [], [], seconds)[0])


def is_here(address):
    """Return whether a host has an address, without a program: this is asked all the time."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def addresses():
    """Return the addresses of this host, each with its interface."""
    links = json.loads(run("/sbin/ip", "-j", "addr", "show")[0] or "[]")
    return [
        {**one, "ifname": link["ifname"], "mac": link.get("address", "")}
        for link in links
        for one in link.get("addr_info", ())
        if "local" in one
    ]


def announce(address, interface, mac):
    """
    Tell everybody on the network of an interface that an address is at its ``mac`` ("aa:bb:…"): a gratuitous ARP
    request (RFC 5227, 3), or an unsolicited neighbour advertisement (RFC 4861, 7.2.6).
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    if ":" in address:
        here = socket.inet_pton(socket.AF_INET6, address)
        # Type, code, checksum (the kernel's work), flag "override", target; option 2, one unit of eight bytes.
        message = struct.pack("!BBHI16sBB6s", 136, 0, 0, 0x20000000, here, 2, 1, hardware)
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as out:
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            out.bind((address, 0))
            out.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))
        return
    here, everybody = socket.inet_pton(socket.AF_INET, address), b"\xff" * 6
    # Ethernet, IPv4, lengths, "request"; the sender and whom it looks for are the same.
    message = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, hardware, here, bytes(6), here)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        out.send(everybody + hardware + struct.pack("!H", 0x0806) + message)


def run(*words, **more):
    """Run a program and return (what it says, what it complains of or why it could not be run)."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)
    return done.stdout, (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def say(what):
    """Write a line to the journal."""
    print(what, flush=True)


def main():
    """Guard with the settings in the file that the argument names, for ever."""
    with open(sys.argv[1], encoding="utf-8") as file:
        guard = Guard(json.load(file))
    while True:
        try:
            guard.round()
        except (OSError, ValueError) as error:
            say(f"{type(error).__name__}: {error}")
        time.sleep(guard.settings["interval"])


if __name__ == "__main__":
    main()
