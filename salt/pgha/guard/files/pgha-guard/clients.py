"""
How clients find the leader: where the virtual IP is, and that it is not here any more.

- A host that leads tells its network each second that the address is here (ARP): another host may have said so after
  it, such as one that stood still and goes on where it was. Not when its Patroni has not seen the DCS for a while: then
  another one may lead, which is to be heard.
- A host that has led refuses, for some seconds, who connects to the address there. Without an answer, a client's system
  would ask again only a second or more later.
- Where Patroni's callback moves the address, a host that leads puts it back when something else has taken it away, such
  as the network's own service: Patroni calls its callback only when a role changes.
"""

import socket
import struct
import time

import host

# Seconds after which a leader tells its network again where the address is.
AGAIN = 1
# Seconds for which a host refuses that has lost the address. A refusal keeps a client's system from finding out that
# the address is elsewhere: it takes it for a sign of life (seen with Linux 6.18).
REFUSING = 3
# Seconds for which a host leads without the address before it is put back: a callback that is under way needs less. In
# vain, it is tried again after twice as long, at most PATIENT.
AWAY, PATIENT = 2, 60
# Only the first packet of a connection is refused: what was connected outlives a moment without the address.
REFUSED = """
table inet pgha_guard
delete table inet pgha_guard
table inet pgha_guard {{
    chain absent {{
        type filter hook prerouting priority raw; policy accept;
        ip daddr {address} fib daddr type local accept
        ip daddr {address} tcp dport {port} tcp flags & (syn | ack) == syn reject with tcp reset
    }}
}}
"""
ACCEPTED = "table inet pgha_guard\ndelete table inet pgha_guard\n"


class Clients:
    """What those who look for the virtual IP are told by this host."""

    def __init__(self, settings):
        self.settings, self.address = settings, settings["address"]
        # When the address was last here and when that was last told, its link (name, hardware address), and whether its
        # clients are refused.
        self.here, self.told, self.link, self.refuses = None, 0, None, False
        # Since when this host leads without the address, and for how long until that is changed.
        self.missed, self.wait = None, AWAY
        # Why they could not be helped the last time, which is said once.
        self.trouble = None

    def help(self, now, code, said, state):
        """
        Tell or refuse those who look for the address. Whatever fails of it must not keep the guard from its work.

        now
            Seconds since the boot.
        code, said
            Patroni's answer.
        state
            The postmaster's word for its state.
        """
        try:
            self.show(now, code, said, state == "ready")
        except (OSError, ValueError) as error:
            if str(error) != self.trouble:
                host.say(f"clients may look for {self.address} at a wrong place: {error}")
            self.trouble = str(error)

    def show(self, now, code, said, ready):
        """Do what ``help`` says."""
        here = host.is_here(self.address)
        self.here = now if here else self.here
        # It begins as soon as the server ends, while the address is still here and its port refuses as well: so nobody
        # is refused who would have been served. A Patroni that only starts again is no reason.
        reason = not ready or code not in (200, None) or (code is None and self.refuses)
        self.refuse(reason and self.here is not None and now - self.here < REFUSING)
        leads = code == 200 and ready and self.fresh(said) and said.get("pause") is not True
        if not leads or here:
            self.missed, self.wait = None, AWAY
        elif self.missed is None:
            self.missed = now
        elif now - self.missed >= self.wait and self.settings["mover"]:
            self.missed, self.wait = now, min(2 * self.wait, PATIENT)
            self.put_back()
        if not here:
            self.link = None
        elif code == 200 and now - self.told >= AGAIN and self.fresh(said):
            self.told = now
            self.tell()

    def refuse(self, wanted):
        """Refuse who connects to the address while it is not here, or stop to."""
        if self.refuses is wanted:
            return
        rules = (REFUSED if wanted else ACCEPTED).format(address=self.address, port=self.settings["port"])
        # Noted before it is tried: where it is impossible the journal says so once a change, and not in each round.
        self.refuses = wanted
        _, why = host.run("/usr/sbin/nft", "-f", "-", input=rules)
        if why:
            host.say(f"who connects to {self.address} while it is not here is not refused, and waits: {why}")

    def put_back(self):
        """Put the address back on this host."""
        said, why = host.run(self.settings["mover"], "add")
        # Where it changed nothing, another address is in the pillar, or the interface is down.
        how = f" in vain ({why})" if why else "" if " added to " in said else " in vain (the host has it)"
        host.say(f"{self.address} was gone while this host led, and is put back{how}")

    def fresh(self, said):
        """Whether Patroni has seen the DCS in one of its last loops, as it says."""
        seen = said.get("dcs_last_seen")
        return not isinstance(seen, (int, float)) or time.time() - seen <= self.settings["fresh"]

    def tell(self):
        """Tell the network that the address is here."""
        for entry in host.addresses() if self.link is None else ():
            if entry["local"] == self.address:
                self.link = entry["ifname"], entry["mac"]
        if self.link:
            announce(self.address, *self.link)


def announce(address, interface, mac):
    """
    Tell everybody on the network of an interface that an address is at its ``mac`` ("aa:bb:…"): a gratuitous ARP
    request (RFC 5227, 3).
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    here, everybody = socket.inet_pton(socket.AF_INET, address), b"\xff" * 6
    # Ethernet, IPv4, lengths, "request"; the sender and whom it looks for are the same.
    message = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, hardware, here, bytes(6), here)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        out.send(everybody + hardware + struct.pack("!H", 0x0806) + message)
