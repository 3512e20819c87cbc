"""
What the master does: it makes the secrets and tells how the clusters are.
"""

import time

import salt.client
import salt.utils.event
from salt.exceptions import CommandExecutionError


def secrets():
    """
    Make and store the secrets that the inventory needs and the store has not; what is there is never made anew.

    Returns the names of what was made (never a value). The orchestration does the same; this is for preparing a store.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.secrets
    """
    return __utils__["pgha_secrets.mint"](_store(), _checked(), _defaults())


def renew():
    """
    Make a new certificate for every host with TLS and bring it there: the services read it, none is restarted.

    The main job does the same for a certificate that has less than a third of its time left. Certificates that the
    user brings are taken over as they are. Returns the names of what was made; raises CommandExecutionError when the
    main job fails, which may be run again.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.renew
    """
    made = __utils__["pgha_secrets.mint"](_store(), _checked(), _defaults(), force=True)
    if made:
        _main_job()
    return made


def authority(datacenter, step=None):
    """
    Return the authorities of a datacenter and its clusters as PEM, for clients that verify what they connect to
    (``sslmode=verify-full sslrootcert=FILE``); they are no secret. Or change the authority, in three steps.

    datacenter
        Its name in the inventory.
    step
        ``add``: everyone trusts a second authority. ``use``: it signs, and all certificates are made anew. ``drop``:
        the first is forgotten. Each step runs the main job. Before ``use`` give the clients the new file, and restart
        vip-manager (``pgha_vip.restarted``), which reads it at its start alone; that is checked.

    Raises CommandExecutionError when it is not the time for that step, and when the main job fails, which may be run
    again.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.authority test-dcs-cluster -l quiet > ca.pem
        salt-run pgha.authority test-dcs-cluster step=add
    """
    store = _store()
    if step:
        pgha = _checked()
        _all_trust(__utils__["pgha_pki.authorities"](store, datacenter), datacenter, pgha)
        __utils__["pgha_pki.rotate"](store, pgha, _defaults(), datacenter, step)
        _main_job()
    found = __utils__["pgha_pki.authorities"](store, datacenter)
    if not found:
        raise CommandExecutionError(f"No authority is stored for {datacenter}: set tls and run salt-run pgha.secrets")
    return found


def status(form="text", timeout=10):
    """
    Tell how all clusters of the inventory are: members, roles, lag, timelines, Consul, who holds the virtual IP.

    form
        ``text`` for tables, ``data`` for a mapping.
    timeout
        Seconds to wait for the answers of the hosts.

    The exit code of ``salt-run`` is 1 when something is wrong; the tables end with what it is. Raises
    CommandExecutionError that names every fault of the pillar when there are any.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.status
        salt-run pgha.status form=data --out=json
    """
    pgha = _checked()
    plan = __utils__["pgha_inventory.plan"](pgha)
    how = {"tgt_type": "list", "timeout": int(timeout)}
    with salt.client.get_local_client(mopts=__opts__) as client:
        # A host answers by the pillar that it has in memory, which is not the one that was edited since.
        fresh = client.cmd(plan["hosts"], "saltutil.refresh_pillar", kwarg={"wait": True}, **how)
        told = client.cmd([host for host in plan["hosts"] if fresh.get(host) is True], "pgha.status", **how)
    # Whoever was silent is not asked again: that would take the same time once more.
    refused = {host: answer for host, answer in fresh.items() if answer is not True}
    state = __utils__["pgha_report.summary"](plan, {**told, **refused})
    state["faults"] = [*_store_faults(pgha), *state["faults"]]
    if form == "data":
        return state
    text = __utils__["pgha_report.text"](state)
    if state["faults"]:
        # Salt shows an exception with its traceback; this way it shows the tables alone, and ends with 1 all the same.
        print(text)
        return {"data": {"retcode": 1}, "outputter": "txt"}
    return text


def watch(timeout=3600):
    """
    Print what the orchestration does while it does it, one line when a stage starts and one when a host has finished.

    Start it in a second terminal before or during ``salt-run state.orchestrate pgha``; it ends with it.

    timeout
        Seconds after which it gives up.

    Raises CommandExecutionError when the orchestration failed, so that the exit code says it.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.watch
    """
    started, jobs = time.monotonic(), {}
    with salt.utils.event.get_master_event(__opts__, __opts__["sock_dir"], listen=True) as bus:
        while time.monotonic() - started < timeout:
            event = bus.get_event(wait=5, full=True, auto_reconnect=True)
            line, ended = __utils__["pgha_report.progress"](event, jobs) if event else (None, None)
            if line:
                print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)
            if ended is False:
                raise CommandExecutionError("The orchestration failed; its own output says where and why")
            if ended:
                return "The orchestration has ended well."
    raise CommandExecutionError(f"No orchestration ended within {timeout} s")


def _main_job():
    done = __salt__["state.orchestrate"]("pgha")
    if done["retcode"]:
        raise CommandExecutionError(
            "The certificates are made and stored, but the main job failed: run salt-run state.orchestrate pgha again"
        )


def _all_trust(authorities, datacenter, pgha):
    """Fail unless every host of a datacenter has these authorities, and its vip-manager was started with them."""
    plan = __utils__["pgha_inventory.plan"](pgha)
    hosts = [*plan["datacenters"].get(datacenter, [])]
    for name, members in plan["clusters"].items():
        hosts += members if plan["datacenter_of"][name] == datacenter else []
    with salt.client.get_local_client(mopts=__opts__) as client:
        answers = client.cmd(hosts, "pgha_tls.behind", [authorities], tgt_type="list", timeout=30)
    told, refused = __utils__["pgha_answers.sort"](hosts, answers, __utils__["pgha_answers.behind"])
    late = [f"{host}: {why}" for host, why in refused.items()]
    late += [f"{host}: {', '.join(why)}" for host, why in told.items() if why]
    if late:
        raise CommandExecutionError("Not all hosts are ready for the next step: " + "; ".join(late))


def _store():
    return __utils__["pgha_store.directory"](__opts__)


def _store_faults(pgha):
    """What is wrong with the store: first of all, since hosts that are served nothing cannot tell much."""
    try:
        lacking = __utils__["pgha_secrets.missing"](_store(), pgha, _defaults())
    except CommandExecutionError as error:
        return [str(error)]
    return (
        [f"the store has not been filled for this pillar ({', '.join(lacking)}); run the main job"] if lacking else []
    )


def _checked():
    """The pillar of the master's own id; a faulty one makes and changes nothing. Raises CommandExecutionError."""
    pgha = _pillar().get("pgha") or {}
    faults = __utils__["pgha_validate.faults"](pgha, _defaults())
    if faults:
        raise CommandExecutionError(__utils__["pgha_validate.refusal"](faults))
    return pgha


def _defaults():
    return __salt__["salt.cmd"]("pgha.defaults")


def _pillar():
    """The pillar of the master's own id, as the orchestration sees it."""
    return __utils__["pgha_compiled.pillar"](__opts__, fresh=True)
