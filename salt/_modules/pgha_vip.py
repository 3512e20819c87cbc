"""
The virtual IP: which host has it, which host should have it, and whether another device answers at it.
"""

import os
import re

import pghalib.errors
import pghalib.host.addresses
import pghalib.host.arp
import pghalib.host.users
import pghalib.patroni.client
import pghalib.services.programs
import pghalib.services.shown
import pghalib.services.started
import pghalib.text
import pghalib.tls
import pghalib.vip
from salt.exceptions import CommandExecutionError

CONFIG, HELPER = pghalib.vip.CONFIG, pghalib.vip.HELPER
# Seconds that sudo may take, and Patroni for an answer.
SUDO, ANSWER = 15, 2
# The most bytes of the helper that are read.
LONGEST = 65536


def addresses():
    """
    Return all addresses of this host: a list of ``{"interface", "address", "prefix"}``.

    Raises CommandExecutionError when the program ``ip`` fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.addresses
    """
    ran = __salt__["cmd.run_all"](["ip", "-j", "addr", "show"], python_shell=False, output_loglevel="trace")
    if ran["retcode"]:
        raise CommandExecutionError(f"ip -j addr show failed: {ran['stderr']}")
    return pghalib.host.addresses.parsed(ran["stdout"])


def interface():
    """
    Return the interface for the virtual IP: the setting ``vip:interface``, else the interface with the host's address.

    Raises CommandExecutionError when no interface has the host's address from the inventory.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.interface
    """
    settings = __salt__["pgha.settings"]()
    if settings["vip"]["interface"]:
        return settings["vip"]["interface"]
    for row in addresses():
        if row["address"] == settings["address"]:
            return row["interface"]
    raise CommandExecutionError(
        f"No interface of {settings['id']} has its address {settings['address']}: correct the pillar, or set"
        " vip:interface"
    )


def holds():
    """
    Return whether this host has the virtual IP now.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.holds
    """
    wanted = _vip()["address"]
    return any(row["address"] == wanted for row in addresses())


def leads_by_patroni():
    """
    Return whether Patroni on this host holds the leader lock (``GET /leader`` of its REST API): True, False, or None
    when Patroni gives no clear answer.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.leads_by_patroni
    """
    try:
        # Only a request that changes something needs a secret.
        answer = pghalib.patroni.client.ask(__salt__["pgha.settings"](), None, "GET", "/leader", timeout=ANSWER)
    except CommandExecutionError:
        return None
    return {200: True, 503: False}.get(answer["status"])


def restart_pending():
    """
    Return the files that changed since the running vip-manager was started: a list of paths, or None when it does not
    run. vip-manager reads its configuration only at its start.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.restart_pending
    """
    pid = pghalib.services.shown.main_pid(__salt__["service.show"]("vip-manager.service"))
    if not pid:
        return None
    authorities = pghalib.tls.authorities(__salt__["pgha.settings"]())
    files = [path for path in (CONFIG, authorities) if path]
    pending = pghalib.services.started.changed("vip-manager", files)
    if pghalib.services.programs.outdated(pid, pghalib.vip.PROGRAM):
        pending.append(pghalib.vip.PROGRAM)
    return pending


def outdated():
    """
    Return a sentence when vip-manager works with another configuration, or unit, than the one on the disk, else None.
    If that has another virtual IP, no host can have it yet.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.outdated
    """
    if not {CONFIG, pghalib.services.started.unit("vip-manager")} & set(restart_pending() or []):
        return None
    return (
        "vip-manager works with its former configuration: salt-run state.orchestrate pgha.restart, then the main job."
    )


def helper_address():
    """
    Return the virtual IP that the installed helper of the callback moves; None without a helper, or when it names none.

    Raises CommandExecutionError when others than root can change the helper: root would run what is in it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_vip.helper_address
    """
    try:
        with open(os.open(HELPER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            info, text = os.fstat(stream.fileno()), stream.read(LONGEST).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandExecutionError(pghalib.errors.sentence(error, HELPER))
    if info.st_uid or info.st_mode & 0o022:
        raise CommandExecutionError(
            f"{HELPER} can be changed by others than root, so it is not run: take its virtual IP away from this host,"
            " remove the file, and run the main job"
        )
    found = re.search(r'^ADDRESS = "([0-9.]+)"$', text, re.MULTILINE)
    return found[1] if found else None


def move(verb):
    """
    Add the virtual IP to this host and announce it, or remove it, as Patroni's callback does.

    verb
        ``add`` or ``del``. A second call has no further effect.

    Returns a sentence about the result. Raises CommandExecutionError when the helper is missing or fails.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_vip.move del
    """
    if not os.path.exists(HELPER):
        raise CommandExecutionError(f"{HELPER} is not there: apply pgha.vip with vip:manager set to callback")
    ran = __salt__["cmd.run_all"]([HELPER, verb], python_shell=False)
    if ran["retcode"]:
        raise CommandExecutionError(f"{HELPER} {verb} failed: {ran['stderr'] or ran['stdout']}")
    return ran["stdout"]


def callback_faults():
    """
    Return why Patroni's callback cannot move the virtual IP: a list with one sentence, or [] when it can or callback
    mode is not used. To find out, the helper's ``show`` command is run through sudo; it moves nothing.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_vip.callback_faults
    """
    if not _by_callback():
        return []
    user = __salt__["pgha.settings"]()["postgres"]["user"]
    # The helper is really run, because `sudo -l` is wrong in two cases: it asks for no password where a later rule
    # would, and it asks for a terminal where the helper's rule needs none. One rule covers all commands of the helper.
    words = ["sudo", "-n", HELPER, "show"]
    ran = pghalib.host.users.run(__salt__["cmd.run_all"], user, words, timeout=SUDO)
    if not ran["retcode"]:
        return []
    said = pghalib.text.line(ran["stderr"] or ran["stdout"] or f"exit code {ran['retcode']}")
    return [
        f"{user} may not run '{' '.join(words)}' ({said}), so Patroni cannot move the virtual IP: /etc/sudoers must"
        " have the line '@includedir /etc/sudoers.d', and no later rule for that user"
    ]


def answers(address=None, timeout=0.6):
    """
    Ask the network by ARP which hosts have an address, without claiming it (RFC 5227). Return the hardware addresses
    that answer, as a sorted list of strings. The own one is never listed: a host does not answer its own request.

    address
        IPv4 address; the virtual IP by default.
    timeout
        Seconds to collect answers; three requests are sent in that time.

    Raises CommandExecutionError where raw sockets are not allowed.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_vip.answers
    """
    return neighbours([address or _vip()["address"]], timeout)[address or _vip()["address"]]


def neighbours(wanted, timeout=0.6):
    """
    Return the hardware addresses that answer for each of several addresses: ``{address: [mac, …]}``.

    wanted
        IPv4 addresses in the network of the interface for the virtual IP.
    timeout
        Seconds to collect answers; three requests are sent in that time.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_vip.neighbours '["198.51.100.22", "198.51.100.23"]'
    """
    return pghalib.host.arp.neighbours(interface(), wanted, timeout)


def _by_callback():
    settings = __salt__["pgha.settings"]()
    return settings["role"] == "db" and settings["vip"]["manager"] == "callback" and bool(settings["cluster"]["vip"])


def _vip():
    cluster = __salt__["pgha.settings"]()["cluster"]
    if not cluster or not cluster["vip"]:
        raise CommandExecutionError("This host has no virtual IP: it is no database host, or its cluster has none")
    return cluster["vip"]
