"""
What the master does: it makes the secrets and tells how the clusters are.
"""

import time

import salt.client
import salt.pillar
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
    return __utils__["pgha_store.fill"](__utils__["pgha_store.directory"](__opts__), _pillar().get("pgha") or {})


def status(form="text", timeout=10):
    """
    Tell how all clusters of the inventory are: members, roles, lag, timelines, Consul, who holds the virtual IP.

    form
        ``text`` for tables, ``data`` for a mapping.
    timeout
        Seconds to wait for the answers of the hosts.

    The exit code of ``salt-run`` is 1 when something is wrong; the tables end with what it is.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.status
        salt-run pgha.status form=data --out=json
    """
    pgha = _pillar().get("pgha") or {}
    plan = __utils__["pgha_inventory.plan"](pgha)
    how = {"tgt_type": "list", "timeout": int(timeout)}
    with salt.client.get_local_client(mopts=__opts__) as client:
        # A host answers by the pillar that it has in memory, which is not the one that was edited since.
        fresh = client.cmd(plan["hosts"], "saltutil.refresh_pillar", kwarg={"wait": True}, **how)
        told = client.cmd([host for host in plan["hosts"] if fresh.get(host) is True], "pgha.status", **how)
    # Whoever was silent is not asked again: that would take the same time once more.
    state = __utils__["pgha_report.summary"](plan, {**fresh, **told})
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


def _pillar():
    """The pillar of the master's own id, as the orchestration sees it."""
    minion_id = __opts__["id"]
    grains = {"id": minion_id, **(__opts__.get("grains") or {})}
    pillar = salt.pillar.get_pillar(__opts__, grains, minion_id, "base").compile_pillar()
    if pillar.get("_errors"):
        raise CommandExecutionError(
            "The pillar of the master's own id does not render: " + "; ".join(pillar["_errors"])
        )
    return pillar
