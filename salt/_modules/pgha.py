"""
The place of this host in the cluster: its settings, the hosts of a run, and its status.
"""

import copy

import pghalib.host.shipped
import pghalib.inventory
import pghalib.pillar.given
import pghalib.pillar.validate
import pghalib.run
import pghalib.secrets.served
import salt.pillar
import salt.utils.yaml
from salt.exceptions import CommandExecutionError, SaltClientError

DEFAULTS = "salt://pgha/defaults.yaml"
# Further checks for the status: functions without arguments that return a list of sentences. A function that is not
# installed on this host is skipped.
_FAULTS = (
    "pgha_postgres.beside_patroni",
    "pgha_member.lost",
    "pgha_unit.faults",
    "pgha_dynamic.faults",
    "pgha_guard.faults",
    "pgha_guard.watchdog_faults",
    "pgha_disk.faults",
    "pgha_archive.faults",
    "pgha_member.mount_faults",
    "pgha_server_user.faults",
    "pgha_parameters.server_faults",
    "pgha_backup.faults",
    "pgha_repository.faults",
    "pgha_proof.faults",
    "pgha_vip.callback_faults",
    "pgha_vip_manager.faults",
)


def settings():
    """
    Return the settings of this host: its role, its place in the inventory, and every section of defaults.yaml merged
    with the pillar. The settings hold no secret. Each caller gets its own copy.

    Raises CommandExecutionError when the pillar does not name this minion id.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.settings
    """
    if "pgha.settings" not in __context__:
        if fault := unknown():
            raise CommandExecutionError(fault)
        found = pghalib.inventory.settings(_pillar(), defaults(), __opts__["id"])
        if found["tls"]["enabled"] is None:
            found["tls"]["enabled"] = pghalib.secrets.served.encrypted(__pillar__)
        __context__["pgha.settings"] = found
    # A copy takes half a millisecond; a change by one caller does not reach the next caller.
    return copy.deepcopy(__context__["pgha.settings"])


def unknown(cleaning=False):
    """
    Return why this host has no settings: a sentence, or None when the pillar names this minion id. For an SLS that
    applies to a whole host, as an error in a template ends in a traceback.

    cleaning
        True where the formula is to be taken away from the host.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.unknown
    """
    if pghalib.inventory.place(_pillar(), __opts__["id"]):
        return None
    return pghalib.pillar.given.unknown(__pillar__, __opts__, cleaning)


def defaults():
    """
    Return every setting with its default: the content of the formula's defaults.yaml. Raises CommandExecutionError when
    the master does not serve that file.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.defaults
    """
    if "pgha.defaults" not in __context__:
        text = pghalib.host.shipped.text(__salt__["cp.cache_file"], DEFAULTS)
        # Salt's takes the parser in C where there is one, which is ten times as fast.
        __context__["pgha.defaults"] = salt.utils.yaml.safe_load(text)
    return copy.deepcopy(__context__["pgha.defaults"])


def plan():
    """
    Return the hosts of a run as lists of minion ids. The whole inventory in this host's pillar is checked first.

    The keys: ``hosts`` (all ids), ``datacenters`` (name: ids of the servers), ``clusters`` (name: ids of the hosts),
    ``repositories`` (ids of the repository hosts, by datacenter), ``datacenter_of`` (cluster: datacenter), ``names``
    (id: host name), ``run`` (options of this run only).
    ``pgha:only`` limits the plan to the named clusters and their datacenters; ``pgha:without`` leaves hosts out.

    Raises CommandExecutionError that names every fault of the pillar at once; on a minion also when its pillar lacks a
    cluster of the run that it needs.

    CLI Example:

    .. code-block:: bash

        salt-call pgha.plan
    """
    pgha = _pillar()
    # The orchestration itself refuses a name that the master does not know; such a name never reaches a minion.
    if __opts__.get("__role") == "minion":
        if lacking := pghalib.pillar.given.lacking(pgha, __opts__["id"], pghalib.run.worked_on(__pillar__)):
            raise CommandExecutionError(lacking)
        pgha = pghalib.run.of_part(pgha)
    faults = pghalib.pillar.validate.faults(pgha, defaults(), __opts__["id"])
    if faults:
        raise CommandExecutionError(pghalib.pillar.validate.refusal(faults))
    return pghalib.inventory.plan(pgha)


def status():
    """
    Return the status of the cluster as this host sees it; the runner ``pgha.status`` combines the answers of all hosts.
    The host fetches its pillar for that: the pillar in the minion's memory may be older than the last edit.

    Returns ``role``, ``name``, ``pending`` (pending restarts, by service), ``tls`` (its certificate; None without TLS)
    and ``faults`` (sentences: faults of this host, and checks that failed); on a server of Consul ``consul`` (members,
    leader, voters) and ``foreign_tokens`` (None without a leader); on a database host ``members`` (Patroni's list, None
    while Patroni does not answer), ``paused`` (Patroni is paused), ``undeclared`` (entries in the DCS that
    the formula did not write; None while Patroni does not answer), ``vip`` (the address), ``holds_vip`` and ``proof``
    (how old the last good proof of the backups is; None without a timer).

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha.status
    """
    faults = _fetched()
    host = settings()

    def asked(function):
        return _told(function, faults)

    told = {"role": host["role"], "name": host["name"], "pending": asked("pgha_restart.pending")}
    told["tls"] = asked("pgha_tls.status")
    if host["role"] == "dcs":
        told["consul"] = asked("pgha_consul.health")
        # Without a leader, a server needs seconds to answer each question about tokens.
        leads = bool(told["consul"] and told["consul"].get("leader"))
        told["foreign_tokens"] = asked("pgha_consul_acl.foreign_tokens") if leads else None
    elif host["role"] == "db":
        told["members"] = asked("pgha_patroni.cluster")
        told["paused"] = bool((asked("pgha_patroni.member") or {}).get("pause"))
        told["undeclared"] = asked("pgha_dynamic.undeclared")
        told["vip"] = host["cluster"]["vip"]["address"] if host["cluster"]["vip"] else None
        told["holds_vip"] = bool(told["vip"] and asked("pgha_vip.holds"))
        told["proof"] = asked("pgha_proof.due")
    for function in _FAULTS:
        if function in __salt__:
            faults.extend(asked(function) or [])
    return {**told, "faults": list(dict.fromkeys(faults))}


def _fetched():
    """
    Give the functions of this job the pillar of now, as saltutil.refresh_pillar does by a job of its own, after which a
    minion loads all modules anew. Returns sentences: why the master does not give it.
    """
    place = __opts__["id"], __opts__["saltenv"]
    source = salt.pillar.get_pillar(__opts__, dict(__grains__), *place, pillarenv=__opts__["pillarenv"])
    try:
        found = source.compile_pillar()
    except SaltClientError as error:
        return [f"the master gives this host no pillar, and the status is by an older one: {error}"]
    finally:
        source.destroy()
    # All functions have this one mapping.
    for gone in set(__pillar__) - set(found):
        del __pillar__[gone]
    __pillar__.update(found)
    __context__.pop("pgha.settings", None)
    return []


def _told(function, faults):
    """The result of a function, or None when it fails. The error goes into ``faults``; the other checks go on."""
    try:
        return __salt__[function]()
    except CommandExecutionError as error:
        faults.append(str(error))
    except Exception as error:  # noqa: BLE001
        faults.append(f"{function} failed: {type(error).__name__}: {error}")
    return None


def _pillar():
    return pghalib.run.of_pillar(__pillar__)
