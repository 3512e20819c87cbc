"""
Written by Salt (pgha); changes here are lost.

The guard of a database host: where Patroni cannot step down in time because it is dead or hung, the guard takes the
virtual IP away and stops PostgreSQL before another member can lead.

    python3 -I pgha-guard FILE

    FILE: {"url": "http://ADDRESS:8008", "limit": 18, "unseen": 25, "fresh": 12, "interval": 0.25,
           "address": VIRTUAL IP or null, "port": 5432, "user": "postgres", "data_dir": "/pgdata/CLUSTER",
           "program": "/…/bin/postgres", "mover": "/…/pgha-vip" or null}
           (limit, unseen, fresh and interval in seconds)

The age of the lease decides: Patroni is asked again and again whether this host has the leader's lock. ``limit``
seconds after its last yes the lease may soon be over, and somebody else may lead. Patroni itself steps down before that
moment when it lives, so there is nothing to do then.

A yes is worth nothing when Patroni hangs where it renews the lease: its API goes on and says yes until the very moment
in which another member may lead. But it says as well when it last saw the DCS. ``unseen`` seconds after the guard has
heard something new there, its yes counts no more, unless it leads by failsafe_mode, without the DCS.

It also helps clients to find the new leader at once when the virtual IP moves (clients.py).

What the guard never does:
- It does not act on a host whose Patroni it has not heard say that this host leads: so a guard that asks at a wrong
  place does no harm.
- It does not act while Patroni is paused, also when Patroni is stopped during the pause.
- It does not stop a server twice: what a person starts by hand after that is left alone.
- It starts no server. Patroni starts it again as a replica.

Any user of the host may listen on Patroni's port while Patroni does not run. So nobody is asked but a process of
PostgreSQL's user, by the kernel's word; that user can read Patroni's key, and no certificate is verified.
"""

import contextlib
import http.client
import json
import os
import pwd
import select
import signal
import socket
import ssl
import sys
import time
import urllib.parse

import clients
import host

# Seconds to wait for a server that was told to stop before it is killed.
DYING = 5
# States of a postmaster in which no client can write: it recovers, or it ends and has told its clients so.
PASSING = ("starting", "stopping")
# Questions without a yes after which the guard may act: when the whole host stood still, Patroni can answer first.
MISSES = 2
# What a member is for Patroni when it has given the leadership up.
FOLLOWS = ("replica", "demoted")


class Guard:
    """What the guard knows of one member, and what it does."""

    def __init__(self, settings):
        self.settings = settings
        # When Patroni last said yes (seconds since the boot), whether it was paused, and questions without a yes since.
        self.held, self.paused, self.misses = None, False, 0
        # When Patroni last told another time of its last look at the DCS (seconds since the boot), and that time. Only
        # whether it changes counts: the clock of the host may be set.
        self.seen, self.look = 0, None
        self.clients = clients.Clients(settings) if settings["address"] else None
        # The number of the user whose word counts, and who listened in Patroni's place the last time (see host.py).
        self.user, self.listener = pwd.getpwnam(settings["user"]).pw_uid, (None, None)

    def round(self):
        """Ask once, and act if the lease may be over."""
        # The clock of the boot goes on while a host is suspended.
        begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        code, said = self.ask()
        if code:
            self.paused = said.get("pause") is True
            self.hear(begun, said)
        if self.clients:
            self.clients.help(begun, code, said, self.server())
        if code == 200 and begun - self.seen <= self.settings["unseen"]:
            self.held, self.misses = begun, 0
            return
        self.misses += 1
        if self.held is None or self.paused:
            return
        if said.get("role") in FOLLOWS:
            self.take_address("this host does not lead any more")
        if self.misses < MISSES:
            return
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if now - self.held > self.settings["limit"]:
            self.fence(f"for {now - self.held:.0f} s Patroni has not said that this host leads: the lease may be over")
        elif now - self.seen > self.settings["unseen"]:
            self.fence(f"for {now - self.seen:.0f} s Patroni has not seen the DCS: the lease may be over")

    def hear(self, now, said):
        """Note ``now`` when Patroni has looked at the DCS since the last answer, needs none, or does not tell."""
        look = said.get("dcs_last_seen")
        if look is None or look != self.look or said.get("failsafe_mode_is_active") is True:
            self.seen, self.look = now, look

    def ask(self):
        """Return (the code of Patroni's answer, its content as a mapping); (None, {}) without an answer of Patroni."""
        where = urllib.parse.urlsplit(self.settings["url"])
        place = where.hostname, where.port
        try:
            with (
                socket.create_connection(place, host.PATIENCE) as wire,
                contextlib.closing(http.client.HTTPConnection(where.netloc)) as asked,
            ):
                # Before anything is said or heard: a stranger may let an answer last for ever.
                if not self.trusts(host.listener(*place)):
                    return None, {}
                # Not verified, see above.
                tls = ssl._create_unverified_context() if where.scheme == "https" else None  # noqa: S323
                asked.sock = tls.wrap_socket(wire) if tls else wire
                asked.request("GET", "/leader")
                answer = asked.getresponse()
                said = json.loads(answer.read(65536))
                return answer.status, said if isinstance(said, dict) else {}
        # RecursionError: thousands of nested brackets. Another program may listen there.
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            return None, {}

    def trusts(self, listener):
        """Return whether a connection that was just made is one to PostgreSQL's user, by who listens there now."""
        if not listener:
            return False
        before, self.listener = self.listener, listener
        if listener != before:
            # A user may get another number while the guard runs.
            with contextlib.suppress(KeyError):
                self.user = pwd.getpwnam(self.settings["user"]).pw_uid
        if listener[0] not in (self.user, before[0]):
            host.say(f"in Patroni's place listens uid {listener[0]}, whose word does not count: end that process")
        # The same socket before and after: so it is the one that was connected to. A new one is asked the next time.
        return listener == before and listener[0] == self.user

    def server(self):
        """The postmaster's word for its state, "" when no primary runs here."""
        with self.primary() as (_process, state):
            return state

    def fence(self, why):
        """Take the address away and stop a server that takes writes; afterwards there is no lease to look after."""
        try:
            self.take_address(why)
        except (OSError, ValueError) as error:
            host.say(f"the virtual IP cannot be looked for: {error}")
        with self.primary() as (process, state):
            if state in PASSING:
                # It takes no writes now; what becomes of it is seen in the next round.
                return
            if process is not None:
                host.say(f"PostgreSQL is stopped: {why}")
                stop(process)
        self.held = None

    def take_address(self, why):
        """Take the virtual IP away if it is here."""
        address = self.settings["address"]
        if not address or not host.is_here(address):
            return
        for entry in host.addresses():
            if entry["local"] == address:
                place = f"{address}/{entry['prefixlen']}", "dev", entry["ifname"]
                _, done = host.run("/sbin/ip", "addr", "del", *place)
                host.say(f"{address} is taken from {entry['ifname']}{done and f' in vain ({done})'}: {why}")

    @contextlib.contextmanager
    def primary(self):
        """
        A handle of the postmaster of this member and its own word for its state; None and "" when none runs, or when
        it is a replica's.
        """
        opened, handle, state, place = None, None, "", self.settings["data_dir"]
        with contextlib.suppress(OSError, ValueError, OverflowError):
            # The directory is not root's: no link is followed, and the process is looked at.
            with open(os.open(f"{place}/postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                lines = file.read(4096).split(b"\n")
            pid = int(lines[0])
            if pid > 1 and not os.path.lexists(f"{place}/standby.signal"):
                opened = os.pidfd_open(pid)
                # Only a process that has been looked at is given on: any other may be somebody else's. A server whose
                # package was updated runs a file that is not there any more.
                runs = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
                if runs == os.path.realpath(self.settings["program"]):
                    # The eighth line, see PostgreSQL's miscadmin.h.
                    handle, state = opened, b"".join(lines[7:8]).strip().decode("ascii", "replace")
        try:
            yield handle, state
        finally:
            if opened is not None:
                os.close(opened)


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


def main():
    """Guard with the settings in the file that the argument names, for ever."""
    with open(sys.argv[1], encoding="utf-8") as file:
        guard = Guard(json.load(file))
    while True:
        try:
            guard.round()
        except (OSError, ValueError) as error:
            host.say(f"{type(error).__name__}: {error}")
        time.sleep(guard.settings["interval"])


if __name__ == "__main__":
    main()
