"""
What this host is in the cluster: its settings, and the plan of the orchestration.
"""

import copy
import fcntl
import os

import pgha_served
import yaml
from salt.exceptions import CommandExecutionError

DEFAULTS = "salt://pgha/defaults.yaml"


def settings():
    """
    Return the settings of this host: its role, its place in the inventory, and every section of defaults.yaml merged
    with the pillar. No secret is among them. Each caller has a mapping of its own.

    Raises CommandExecutionError when the pillar does not name this minion id.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.settings
    """
    if "pgha.settings" not in __context__:
        found = __utils__["pgha_inventory.settings"](_pillar(), defaults(), __opts__["id"])
        if found is None:
            raise CommandExecutionError(
                f"{__opts__['id']} is neither among the servers of a datacenter nor among the hosts of a cluster in the"
                " pillar pgha; correct the inventory, or the minion id"
            )
        if found["tls"]["enabled"] is None:
            found["tls"]["enabled"] = pgha_served.encrypted(__pillar__)
        __context__["pgha.settings"] = found
    # Half a millisecond, so that what one caller does to it is not the next one's.
    return copy.deepcopy(__context__["pgha.settings"])


def defaults():
    """
    Return every setting with its default: the content of the formula's defaults.yaml.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.defaults
    """
    if "pgha.defaults" not in __context__:
        path = __salt__["cp.cache_file"](DEFAULTS)
        if not path:
            raise CommandExecutionError(f"{DEFAULTS} is not served: the formula's salt/ directory must be a file root")
        with open(path, encoding="utf-8") as stream:
            __context__["pgha.defaults"] = yaml.safe_load(stream)
    return copy.deepcopy(__context__["pgha.defaults"])


def plan():
    """
    Return what the orchestration works on: the inventory of this pillar, checked as a whole, as lists of minion ids.

    The keys: ``hosts`` (all ids), ``datacenters`` (name: ids of the servers), ``clusters`` (name: ids of the hosts),
    ``datacenter_of`` (cluster: datacenter), ``names`` (id: host name). ``pgha:only`` narrows it to the clusters it
    names and their datacenters.

    Raises CommandExecutionError that names every fault of the pillar at once.

    CLI Example:

    .. code-block:: bash

        salt-call pgha.plan
    """
    pgha = _pillar()
    faults = __utils__["pgha_validate.faults"](pgha, defaults(), __opts__["id"])
    if faults:
        raise CommandExecutionError(__utils__["pgha_validate.refusal"](faults))
    return __utils__["pgha_inventory.plan"](pgha)


def lock():
    """
    Take the lock that lets one orchestration run at a time; keep it until this process and what it forked have ended.

    A lock of the kernel's: it is gone with its holder, however that ends. Raises CommandExecutionError when another
    orchestration has it.

    CLI Example:

    .. code-block:: bash

        salt-run state.orchestrate pgha   # takes it
    """
    path = __utils__["pgha_store.directory"](__opts__)
    __utils__["pgha_store.prepare"](path)
    # Never closed on purpose: the lock is to last as long as the process.
    try:
        handle = os.open(path / ".orchestration.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandExecutionError(__utils__["pgha_store.unwritable"](path, error)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 100, 0).decode() or "unknown"
        os.close(handle)
        raise CommandExecutionError(
            f"Another orchestration is running on this master (process {holder}); wait for its end. Nothing was touched"
        )
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return True


def status():
    """
    Tell what this host sees of its cluster; the runner ``pgha.status`` puts the answers of all hosts together.

    Returns ``role``, ``name``, ``pending`` (what waits for a restart, by service) and ``tls`` (its certificate; None
    without TLS); on a server of Consul ``consul`` (members, leader, voters) and ``foreign_tokens`` (None without a
    leader); on a database host ``members`` (Patroni's list, None while Patroni does not answer), ``paused`` (Patroni
    was told to let the cluster alone), ``vip`` (the address) and ``holds_vip``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.status
    """
    host = settings()
    told = {"role": host["role"], "name": host["name"], "pending": _or_none("pgha_restart.pending")}
    told["tls"] = __salt__["pgha_tls.status"]()
    if host["role"] == "dcs":
        consul = _or_none("pgha_consul.health")
        # Without a leader a server thinks for seconds about each question on tokens.
        leads = bool(consul and consul.get("leader"))
        return {
            **told,
            "consul": consul,
            "foreign_tokens": _or_none("pgha_consul_acl.foreign_tokens") if leads else None,
        }
    told["members"] = _or_none("pgha_patroni.cluster")
    told["paused"] = bool((__salt__["pgha_patroni.member"]() or {}).get("pause"))
    told["vip"] = host["cluster"]["vip"]["address"] if host["cluster"]["vip"] else None
    told["holds_vip"] = bool(told["vip"]) and __salt__["pgha_vip.holds"]()
    return told


def _or_none(function):
    """What a function tells, or None when the service it asks does not answer: the summary then says so."""
    try:
        return __salt__[function]()
    except CommandExecutionError:
        return None


def _pillar():
    return __pillar__.get("pgha") or {}
