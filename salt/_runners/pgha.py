"""
Functions of the master: make the secrets, change certificates and authorities, show the status of the clusters.
"""

import contextlib
import time

import pghalib.inventory
import pghalib.master.answers
import pghalib.master.compiled
import pghalib.master.refusal
import pghalib.master.report
import pghalib.pillar.validate
import pghalib.secrets.minted
import pghalib.secrets.pki
import pghalib.secrets.store
import pghalib.secrets.trust
import salt.client
import salt.utils.event
from salt.exceptions import CommandExecutionError

# Seconds in which a present host must answer; after them Salt asks again.
PRESENT = 3


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
def status(form="text", timeout=10):
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
    pgha = _checked()
    plan = pghalib.inventory.plan(pgha)
    how = {"tgt_type": "list", "timeout": int(timeout), "gather_job_timeout": PRESENT}
    with salt.client.get_local_client(mopts=__opts__) as client:
        # A host answers by the pillar in its memory, so the pillar is refreshed first: somebody may have edited it.
        # A busy host says so to Salt, and Salt waits for it; absent hosts are known in seconds.
        fresh = client.cmd(
            plan["hosts"], "saltutil.refresh_pillar", kwarg={"wait": True}, **{**how, "timeout": PRESENT}
        )
        told = client.cmd([host for host in plan["hosts"] if fresh.get(host) is True], "pgha.status", **how)
    # Silent hosts are not asked again: that would take the same time once more.
    refused = {host: answer for host, answer in fresh.items() if answer is not True}
    state = pghalib.master.report.summary(plan, {**told, **refused})
    state["faults"] = [*_store_faults(pgha), *_unfinished(pgha), *state["faults"]]
    if form == "data":
        return state
    text = pghalib.master.report.text(state)
    if state["faults"]:
        # Salt would show an exception with its traceback. This way it shows only the tables, and also ends with 1.
        print(text)
        return {"data": {"retcode": 1}, "outputter": "txt"}
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
    plan = pghalib.inventory.plan(pgha, narrowed=False)
    hosts = pghalib.inventory.hosts_of(plan, datacenter)
    authorities = pghalib.secrets.pki.authorities(_store(), datacenter)
    with salt.client.get_local_client(mopts=__opts__) as client:
        answers = client.cmd(hosts, "pgha_tls.behind", [authorities], tgt_type="list", timeout=30)
    told, refused = pghalib.master.answers.sort(hosts, answers, pghalib.master.answers.behind)
    late = {}
    for host in hosts:
        for why in [refused[host]] if host in refused else told[host]:
            late.setdefault(why, []).append(host)
    return [f"{', '.join(its)}: {why}" for why, its in late.items()]


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


def _unfinished(pgha):
    """A sentence for each datacenter in which a change of the authority is not finished."""
    found = []
    for datacenter in pgha.get("datacenters") or {}:
        # An error here: there is no authority, or the certificates have a fault, which is a fault of the store.
        with contextlib.suppress(CommandExecutionError):
            steps = pghalib.secrets.pki.standing(_store(), pgha, _defaults(), datacenter)["steps"]
            found.append(pghalib.secrets.trust.unfinished(datacenter, steps))
    return [sentence for sentence in found if sentence]


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
