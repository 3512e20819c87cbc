"""
What the master does: it makes the secrets and tells how the clusters are.
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

# Seconds in which a host that is there says so, and after which Salt asks again.
PRESENT = 3


@pghalib.master.refusal.told
def secrets():
    """
    Make and store the secrets that the inventory needs and the store has not; what is there is never made anew.

    Returns the names of what was made (never a value). The orchestration does the same; this is for preparing a store.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.secrets
    """
    return pghalib.secrets.minted.mint(_store(), _checked(), _defaults())


@pghalib.master.refusal.told
def renew():
    """
    Make a new certificate for every host with TLS and bring it there: the services read it, none is restarted.

    The main job does the same for a certificate that has less than a third of its time left. Certificates that the
    user brings are taken over as they are. Returns the names of what was made. A refusal, and a main job that failed
    and may be run again, are told as a sentence, and ``salt-run`` ends with 1.

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
    Tell where a datacenter is in the change of its authority: who signs, who is trusted, which hosts are not ready, and
    the command that goes on. Or take a step of that change.

    datacenter
        Its name in the inventory.
    step
        ``add``: everyone trusts the next authority. ``use``: it signs, and all hosts show certificates of it. ``drop``:
        the former one is forgotten. ``back``: the last step is taken back. Each runs the main job and ends with what
        to do next; none restarts anything. A step is refused, and nothing touched, while a host is not ready for it.
    form
        ``text``, or ``pem`` for the authorities alone, for clients that verify what they connect to
        (``sslmode=verify-full sslrootcert=FILE``); they are no secret.

    A refusal, and a main job that failed and may be run again, are told as a sentence, and ``salt-run`` ends with 1.

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
    Tell how all clusters of the inventory are: members, roles, lag, timelines, Consul, who holds the virtual IP.

    form
        ``text`` for tables, ``data`` for a mapping.
    timeout
        Seconds to wait for the answers of the hosts that are there; one that is not is known sooner.

    The exit code of ``salt-run`` is 1 when something is wrong; the tables end with what it is. Raises
    CommandExecutionError that names every fault of the pillar when there are any.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.status
        salt-run pgha.status form=data --out=json
    """
    pgha = _checked()
    plan = pghalib.inventory.plan(pgha)
    how = {"tgt_type": "list", "timeout": int(timeout), "gather_job_timeout": PRESENT}
    with salt.client.get_local_client(mopts=__opts__) as client:
        # A host answers by the pillar that it has in memory, which is not the one that was edited since.
        # One that is there and busy says so to Salt and is waited for; the others are known in seconds.
        fresh = client.cmd(
            plan["hosts"], "saltutil.refresh_pillar", kwarg={"wait": True}, **{**how, "timeout": PRESENT}
        )
        told = client.cmd([host for host in plan["hosts"] if fresh.get(host) is True], "pgha.status", **how)
    # Whoever was silent is not asked again: that would take the same time once more.
    refused = {host: answer for host, answer in fresh.items() if answer is not True}
    state = pghalib.master.report.summary(plan, {**told, **refused})
    state["faults"] = [*_store_faults(pgha), *_unfinished(pgha), *state["faults"]]
    if form == "data":
        return state
    text = pghalib.master.report.text(state)
    if state["faults"]:
        # Salt shows an exception with its traceback; this way it shows the tables alone, and ends with 1 all the same.
        print(text)
        return {"data": {"retcode": 1}, "outputter": "txt"}
    return text


@pghalib.master.refusal.told
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
    """Fail when the main job would leave hosts of the datacenter out, as ``pgha:only`` can make it do."""
    plan, of = pghalib.inventory.plan, pghalib.inventory.hosts_of
    left = [host for host in of(plan(pgha, narrowed=False), datacenter) if host not in plan(pgha)["hosts"]]
    if left:
        raise CommandExecutionError(
            f"pgha:only keeps the main job from {', '.join(left)}: take it out of the pillar first, as the authority of"
            f" {datacenter} changes for all of its hosts"
        )


def _late(pgha, datacenter):
    """Sentences on hosts of a datacenter that have other authorities than the master, or services that do."""
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
    """What is wrong with the store: first of all, since hosts that are served nothing cannot tell much."""
    try:
        lacking = pghalib.secrets.minted.missing(_store(), pgha, _defaults())
    except CommandExecutionError as error:
        return [str(error)]
    return (
        [f"the store has not been filled for this pillar ({', '.join(lacking)}); run the main job"] if lacking else []
    )


def _unfinished(pgha):
    """A sentence for each datacenter whose authority somebody has begun to change."""
    found = []
    for datacenter in pgha.get("datacenters") or {}:
        # It has no authority; or what is wrong with the certificates is a fault of the store.
        with contextlib.suppress(CommandExecutionError):
            steps = pghalib.secrets.pki.standing(_store(), pgha, _defaults(), datacenter)["steps"]
            found.append(pghalib.secrets.trust.unfinished(datacenter, steps))
    return [sentence for sentence in found if sentence]


def _checked():
    """The pillar of the master's own id; a faulty one makes and changes nothing. Raises CommandExecutionError."""
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
