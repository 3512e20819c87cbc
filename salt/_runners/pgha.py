"""Functions of the master: secrets, certificates and authorities, the status, backups, drills."""

import pghalib.drill.command
import pghalib.drill.faults
import pghalib.inventory
import pghalib.master.authority
import pghalib.master.backups
import pghalib.master.compiled
import pghalib.master.refusal
import pghalib.master.report
import pghalib.master.state
import pghalib.master.watching
import pghalib.pillar.validate
import pghalib.secrets.credentials
import pghalib.secrets.minted
import pghalib.secrets.needed
import pghalib.secrets.store
import pghalib.secrets.trust
from salt.exceptions import CommandExecutionError

# Seconds that most hosts need to tell their status; Salt asks the others then whether they still work on it.
STATUS = 5


@pghalib.master.refusal.told
def secrets():
    """
    Make and store the secrets that the inventory needs and the store lacks, as the orchestration does. Existing secrets
    are kept; only certificates that end soon are renewed. Returns the names of the new secrets (never a value).

    CLI Example:

    .. code-block:: bash

        salt-run pgha.secrets
    """
    return pghalib.secrets.minted.mint(_store(), _checked(), _defaults())


@pghalib.master.refusal.told
def renew():
    """
    Make a new certificate for every host with TLS and install it there. The services read it; none is restarted.

    The main job does so for a certificate with less than a third of its lifetime left. Those of the user are used as
    they are. Returns the names of the new ones. ``salt-run`` ends with 1 when the main job fails (run it again).

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

    datacenter, step
        Its name in the inventory; ``add``: all hosts trust the next authority; ``use``: the next authority signs, and
        all hosts show its certificates; ``drop``: the former authority is no longer trusted; ``back``: undo the last
        step. Each step runs the main job; no step restarts anything, and none is taken while a host is not ready.
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
    datacenter = pghalib.master.refusal.one_of("datacenter", datacenter, list(pgha["datacenters"]))
    pghalib.master.refusal.one_of("form", form, ("text", "pem"))
    if form == "pem" and step is None:
        return pghalib.master.authority.pem(store, datacenter)
    if step is not None:
        pghalib.master.refusal.one_of("step", step, pghalib.secrets.trust.STEPS)
        only = pghalib.master.authority.take(__opts__, store, pgha, _defaults(), datacenter, step)
        _main_job(f"The step {step} is taken and stored", pillar={"pgha": {"only": only}})
    return pghalib.master.authority.text(__opts__, store, pgha, _defaults(), datacenter)


@pghalib.master.refusal.told
def status(form="text", timeout=STATUS):
    """
    Show the status of all clusters of the inventory: members, roles, lag, timelines, Consul, holder of the virtual IP.

    form, timeout
        ``text`` for tables, ``data`` for a mapping; seconds after which silent hosts are asked whether they still work.

    ``salt-run`` ends with 1 when there are faults; the tables end with them, the mapping has them and the ``retcode``.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.status
        salt-run pgha.status form=data --out=json
    """
    form = pghalib.master.refusal.one_of("form", form, ("text", "data"))
    state = pghalib.master.state.now(__opts__, _checked(), _defaults(), timeout)
    if form == "data":
        return {**state, "retcode": int(bool(state["faults"]))}  # the exit code of `salt-run`
    return pghalib.master.refusal.ended(pghalib.master.report.text(state), not state["faults"])


@pghalib.master.refusal.told
def watch(timeout=3600):
    """
    Print the progress of the orchestration: one line when a stage starts and one when a host has finished. Start this
    in a second terminal before or during ``salt-run state.orchestrate pgha``; both end together.

    timeout
        Seconds after which this function gives up. ``salt-run`` ends with 1 then, and when the orchestration failed.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.watch
    """
    return pghalib.master.watching.follow(__opts__, pghalib.master.refusal.whole("timeout", timeout))


@pghalib.master.refusal.told
def drill(cluster=None, faults=None, workers=4, harmful=False, list=False, minutes=None, hunt=False, client=None):  # noqa: A002
    """
    Prove what a cluster does under faults: clients write and read through the virtual IP, observers watch every member,
    the outage of each fault is told, and every rule is judged, such as that no acknowledged write is lost.

    cluster, faults
        Its name in the inventory; names with commas between them, ``a+b`` for b while a lasts (default: all harmless).
    workers, harmful
        How many clients write, at most 48; True: faults that do harm (kill -9) may be made, too, by their names.
    list
        True: name all faults, what each does and how long clients (of the named cluster) may wait; do nothing.
    minutes, hunt
        Begin another round of all faults while so many minutes have not passed (default: one round); True: pick faults
        at random, one or two at a time, for the minutes or an hour; a number: as with this seed.
    client
        Id of the minion where the clients run, such as the host of an application. Default: the master.

    It is refused, with all reasons, while the cluster is not well. ``salt-run`` ends with 1 when a rule is broken or
    not judged, or an outage is longer than promised. The login and the table of the drill are removed in the end.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.drill test list=True
        salt-run pgha.drill test
        salt-run pgha.drill test faults=switchover,isolate+kill-agent harmful=True minutes=60 client=test-app1
    """
    pghalib.master.refusal.truths("No drill was made", harmful=harmful, list=list)
    if list and cluster is None:
        return pghalib.drill.faults.table(_defaults()["patroni"])
    pgha = _checked()
    cluster = pghalib.master.refusal.one_of("cluster", cluster, [*pgha["clusters"]])
    if list:
        return pghalib.drill.faults.table_of(pgha, _defaults(), cluster)
    done = pghalib.drill.command.run(
        opts=__opts__,
        pgha=pgha,
        defaults=_defaults(),
        program=__salt__["salt.cmd"]("cp.get_file_str", "salt://pgha/drill/files/client.py"),
        state=lambda: pghalib.master.state.now(__opts__, {**pgha, "only": [cluster]}, _defaults(), STATUS),
        cluster=cluster,
        names=pghalib.drill.faults.listed(faults),
        workers=workers,
        harmful=harmful,
        minutes=minutes,
        hunt=hunt,
        client=client,
    )
    return pghalib.master.refusal.ended(*done)


@pghalib.master.refusal.told
def backup(cluster=None, type="incr"):  # noqa: A002
    """
    Make a backup of a cluster now, in all of its repositories, and show its progress. The leader's host makes it.

    cluster, type
        Its name in the inventory; ``full``, ``diff`` (what has changed since the last full backup) or ``incr`` (since
        the last backup).

    An interruption does not end it. ``salt-run`` ends with 1 when it fails.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.backup test
        salt-run pgha.backup test type=full
    """
    pghalib.master.refusal.one_of("type of a backup", type, ("full", "diff", "incr"))
    return pghalib.master.refusal.ended(*pghalib.master.backups.make(__opts__, _with_backups(cluster)[0], type))


@pghalib.master.refusal.told
def backups(cluster=None):
    """
    Show the backups of a cluster (by its name in the inventory): what is in which repository, from when on a restore is
    possible, and what the last proof has shown.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.backups test
    """
    hosts, _, cluster = _with_backups(cluster)
    return pghalib.master.backups.table(__opts__, cluster, hosts)


@pghalib.master.refusal.told
def proof(cluster=None, host=None):
    """
    Prove that the newest backup of a cluster can be restored: on a host of it, beside its data, and thrown away
    afterwards. ``salt-run`` ends with 1 when the proof fails.

    cluster, host
        Its name in the inventory; the id of the host, by default a replica's.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.proof test
    """
    return pghalib.master.refusal.ended(*pghalib.master.backups.prove(__opts__, _with_backups(cluster)[0], host))


@pghalib.master.refusal.told
def credential(cluster=None, repository=None, file=None):
    """
    Store who may write to a repository of backups (S3): the id of an access key, and its secret. Nothing shows them.

    cluster, repository, file
        Their names; a file of the master with the two in a line each, which only its owner may read (0600). Default: a
        person is asked.

    CLI Example:

    .. code-block:: bash

        salt-run pgha.credential test main
        salt-run pgha.credential test main file=/root/s3-key
    """
    _, known, cluster = _with_backups(cluster)
    repository = pghalib.master.refusal.one_of("repository", repository, known)
    pghalib.secrets.credentials.bring(_store(), cluster, repository, known[repository], file)
    return f"Stored for {repository} of {cluster}: now run salt-run state.orchestrate pgha"


def _with_backups(cluster):
    """The hosts of a cluster, its repositories of backups by name, which it must have, and its own name as a text."""
    pgha = _checked()
    cluster = pghalib.master.refusal.one_of("cluster", cluster, [*pgha["clusters"]])
    if not (repositories := pghalib.secrets.needed.repositories(pgha, _defaults(), cluster)):
        raise CommandExecutionError(f"{cluster} has no repository: name one in backup:repositories (docs/backup.md)")
    return pghalib.inventory.plan(pgha, narrowed=False)["clusters"][cluster], repositories, cluster


def _main_job(done, **narrowed):
    if __salt__["state.orchestrate"]("pgha", **narrowed)["retcode"]:
        raise CommandExecutionError(f"{done}, but the main job failed: run salt-run state.orchestrate pgha again")


def _store():
    return pghalib.secrets.store.directory(__opts__)


def _checked():
    """The pillar of the master's own id. Raises CommandExecutionError when it has faults: then nothing is changed."""
    pgha = _pillar().get("pgha") or {}
    if faults := pghalib.pillar.validate.faults(pgha, _defaults(), __opts__["id"]):
        raise CommandExecutionError(pghalib.pillar.validate.refusal(faults))
    return pgha


def _defaults():
    return __salt__["salt.cmd"]("pgha.defaults")


def _pillar():
    return pghalib.master.compiled.pillar(__opts__, fresh=True)
