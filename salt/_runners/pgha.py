"""Functions of the master: make secrets, change certificates and authorities, show the status, make drills."""

import time

import pghalib.drill.command
import pghalib.drill.faults
import pghalib.inventory
import pghalib.master.asking
import pghalib.master.compiled
import pghalib.master.refusal
import pghalib.master.report
import pghalib.pillar.validate
import pghalib.secrets.minted
import pghalib.secrets.pki
import pghalib.secrets.store
import pghalib.secrets.trust
import salt.utils.event
from salt.exceptions import CommandExecutionError

# Seconds to wait for the answers of present hosts about their status.
STATUS = 10


@pghalib.master.refusal.told
def secrets():
    """
    Make and store the secrets that the inventory needs and the store lacks. Existing secrets are kept; only
    certificates that end soon are renewed.

    Returns the names of the new secrets (never a value). The orchestration does the same; this prepares a store.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.secrets
    """
    return pghalib.secrets.minted.mint(_store(), _checked(), _defaults())


@pghalib.master.refusal.told
def renew():
    """
    Make a new certificate for every host with TLS and install it there. The services read it; none is restarted.

    The main job does the same for a certificate with less than a third of its lifetime left. Certificates of the user
    are used as they are. Returns the names of the new certificates. A refusal and a failed main job (it may be run
    again) are told as a sentence, and ``salt-run`` ends with 1.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.renew
    """
    made = pghalib.secrets.minted.mint(_store(), _checked(), _defaults(), force=True)
    if made:
        _main_job("The certificates are made and stored")
    return made


@pghalib.master.refusal.told
def authority(datacenter, step=None, form="text"):
    """
    Show how far a datacenter is in the change of its authority: the authority that signs, the trusted authorities, the
    hosts that are not ready, and the next command. Or take a step of that change.

    datacenter
        Its name in the inventory.
    step
        ``add``: all hosts trust the next authority. ``use``: the next authority signs, and all hosts show its
        certificates. ``drop``: the former authority is no longer trusted. ``back``: undo the last step. Each step runs
        the main job and ends with what to do next; no step restarts anything. While a host is not ready for a step, the
        step is refused and nothing is touched.
    form
        ``text``, or ``pem`` for the authorities alone, for clients that verify the server
        (``sslmode=verify-full sslrootcert=FILE``); they are no secret.

    A refusal and a failed main job (it may be run again) are told as a sentence, and ``salt-run`` ends with 1.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.authority test-dcs-cluster
        salt-run pgha.authority test-dcs-cluster form=pem -l quiet > ca.pem
        salt-run pgha.authority test-dcs-cluster step=add
    """
    pgha, store = _checked(), _store()
    _one_of("datacenter", datacenter, list(pgha["datacenters"]))
    _one_of("form", form, ("text", "pem"))
    if form == "pem" and step is None:
        found = pghalib.secrets.pki.authorities(store, datacenter)
        if not found:
            raise CommandExecutionError(f"No authority is stored for {datacenter}: run salt-run state.orchestrate pgha")
        return found
    if step is not None:
        _one_of("step", step, pghalib.secrets.trust.STEPS)
        _not_narrowed(pgha, datacenter)
        pghalib.secrets.pki.standing(store, pgha, _defaults(), datacenter, step)
        late = _late(pgha, datacenter)
        if late:
            raise CommandExecutionError(
                f"The step {step} was not taken, as not all hosts of {datacenter} are ready: " + "; ".join(late)
            )
        pghalib.secrets.pki.rotate(store, pgha, _defaults(), datacenter, step)
        _main_job(f"The step {step} is taken and stored")
    standing = pghalib.secrets.pki.standing(store, pgha, _defaults(), datacenter)
    return pghalib.secrets.trust.text(datacenter, standing, _late(pgha, datacenter))


@pghalib.master.refusal.told
def status(form="text", timeout=STATUS):
    """
    Show the status of all clusters of the inventory: members, roles, lag, timelines, Consul, holder of the virtual IP.

    form
        ``text`` for tables, ``data`` for a mapping.
    timeout
        Seconds to wait for the answers of present hosts; an absent host is known sooner.

    The exit code of ``salt-run`` is 1 when there are faults; the tables end with them. Faults of the pillar are all
    named at once, without tables, also with exit code 1.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.status
        salt-run pgha.status form=data --out=json
    """
    state = _state(_checked(), int(timeout))
    if form == "data":
        return state
    text = pghalib.master.report.text(state)
    if state["faults"]:
        # Salt would show an exception with its traceback. This way it shows only the tables, and also ends with 1.
        return _failed(text)
    return text


@pghalib.master.refusal.told
def watch(timeout=3600):
    """
    Print the progress of the orchestration: one line when a stage starts and one when a host has finished.

    Start this in a second terminal before or during ``salt-run state.orchestrate pgha``; both end together.

    timeout
        Seconds after which this function gives up.

    When the orchestration failed, that is told as a sentence, and ``salt-run`` ends with 1.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.watch
    """
    started, jobs = time.monotonic(), {}
    with salt.utils.event.get_master_event(__opts__, __opts__["sock_dir"], listen=True) as bus:
        while time.monotonic() - started < timeout:
            event = bus.get_event(wait=5, full=True, auto_reconnect=True)
            line, ended = pghalib.master.report.progress(event, jobs) if event else (None, None)
            if line:
                print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)
            if ended is False:
                raise CommandExecutionError("The orchestration failed; its own output says where and why")
            if ended:
                return "The orchestration has ended well."
    raise CommandExecutionError(f"No orchestration ended within {timeout} s")


@pghalib.master.refusal.told
def drill(cluster=None, faults=None, workers=4, harmful=False, list=False, minutes=None, hunt=False, client=None):  # noqa: A002
    """
    Prove what a cluster does under faults: clients write and read through the virtual IP, observers watch every member,
    the outage of each fault is told, and every rule is judged, such as that no acknowledged write is lost.

    cluster
        Its name in the inventory.
    faults
        Names with commas between them, in this order, ``a+b`` for b while a lasts; default: all harmless ones.
    workers
        How many clients write, at most 49.
    harmful
        True: faults that do harm (kill -9) may be made, too, by their names.
    list
        True: name all faults, what each does and how long clients may wait for a write, and do nothing.
    minutes
        Begin another round of all faults while so many minutes have not passed. Default: one round.
    hunt
        True: pick faults at random, one or two at a time, for the minutes or an hour. A number: as with this seed.
    client
        Id of the minion where the clients run, such as the host of an application. Default: the master.

    It is refused, with all reasons, while the cluster is not well. ``salt-run`` ends with 1 when a rule is broken or an
    outage is longer than promised. The login and the table of the drill are removed in the end.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.drill list=True
        salt-run pgha.drill test
        salt-run pgha.drill test faults=switchover,isolate+kill-agent harmful=True minutes=60 client=test-app1
    """
    if list:
        return pghalib.drill.faults.table(_defaults()["patroni"])
    pgha = _checked()
    _one_of("cluster", cluster, [*pgha["clusters"]])
    text, good = pghalib.drill.command.run(
        opts=__opts__,
        pgha=pgha,
        defaults=_defaults(),
        program=__salt__["salt.cmd"]("cp.get_file_str", "salt://pgha/drill/files/client.py"),
        state=lambda: _state(pgha, STATUS),
        cluster=cluster,
        names=pghalib.drill.faults.listed(faults),
        workers=workers,
        harmful=bool(harmful),
        minutes=minutes,
        hunt=hunt,
        client=client,
    )
    return text if good else _failed(text)


def _state(pgha, timeout):
    """The state of everything in the inventory, as ``pghalib.master.report.summary`` returns it."""
    plan = pghalib.inventory.plan(pgha)
    state = pghalib.master.report.summary(plan, pghalib.master.asking.status(__opts__, plan["hosts"], timeout))
    first = [*_store_faults(pgha), *pghalib.secrets.pki.unfinished(_store(), pgha, _defaults())]
    state["faults"] = [*first, *state["faults"]]
    return state


def _failed(text):
    print(text)
    return {"data": {"retcode": 1}, "outputter": "txt"}


def _main_job(done):
    if __salt__["state.orchestrate"]("pgha")["retcode"]:
        raise CommandExecutionError(f"{done}, but the main job failed: run salt-run state.orchestrate pgha again")


def _one_of(what, given, known):
    if given not in known:
        raise CommandExecutionError(f"There is no {what} {given!r}; there is {', '.join(map(str, known))}")


def _not_narrowed(pgha, datacenter):
    """Fail when the main job would leave out hosts of the datacenter because of ``pgha:only``."""
    plan, of = pghalib.inventory.plan, pghalib.inventory.hosts_of
    left = [host for host in of(plan(pgha, narrowed=False), datacenter) if host not in plan(pgha)["hosts"]]
    if left:
        raise CommandExecutionError(
            f"pgha:only keeps the main job from {', '.join(left)}: take it out of the pillar first, as the authority of"
            f" {datacenter} changes for all of its hosts"
        )


def _late(pgha, datacenter):
    """Sentences about hosts of a datacenter where the host or a service has other authorities than the master."""
    hosts = pghalib.inventory.hosts_of(pghalib.inventory.plan(pgha, narrowed=False), datacenter)
    return pghalib.master.asking.late(__opts__, hosts, pghalib.secrets.pki.authorities(_store(), datacenter))


def _store():
    return pghalib.secrets.store.directory(__opts__)


def _store_faults(pgha):
    """Faults of the store. They come first in the report: hosts without secrets cannot tell much."""
    try:
        lacking = pghalib.secrets.minted.missing(_store(), pgha, _defaults())
    except CommandExecutionError as error:
        return [str(error)]
    return (
        [f"the store has not been filled for this pillar ({', '.join(lacking)}); run the main job"] if lacking else []
    )


def _checked():
    """The pillar of the master's own id. Raises CommandExecutionError when it has faults: then nothing is changed."""
    pgha = _pillar().get("pgha") or {}
    faults = pghalib.pillar.validate.faults(pgha, _defaults(), __opts__["id"])
    if faults:
        raise CommandExecutionError(pghalib.pillar.validate.refusal(faults))
    return pgha


def _defaults():
    return __salt__["salt.cmd"]("pgha.defaults")


def _pillar():
    """The pillar of the master's own id, as the orchestration sees it."""
    return pghalib.master.compiled.pillar(__opts__, fresh=True)
