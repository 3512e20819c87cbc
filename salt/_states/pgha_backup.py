"""
States of the backups: pgBackRest's configuration, the place of a cluster in its repositories, the archive of WAL.
"""

import os

import pghalib.backup.config
import pghalib.backup.files
import pghalib.host.clean
import pghalib.host.files
import pghalib.patroni.dynamic
import pghalib.patroni.member
import pghalib.postgres.archive
import pghalib.secrets.served
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError

# Where the formula's releases are.
RELEASES = "/opt/pgbackrest"
# Seconds for one attempt at a repository.
ATTEMPT = 60


@pghalib.states.state
def configured(ret):
    """
    pgBackRest has its configuration: repositories with their keys, and the server of this host, as far as its data tell
    of it. The file belongs to root, and the user of PostgreSQL may read it. The changes hold no secret.

    name
        Path of the file. Its directory must exist.
    """
    settings = __salt__["pgha.settings"]()
    secrets = pghalib.secrets.served.own(__pillar__, __opts__).get("backup", {})
    control_version = __salt__["pgha_backup.control_version"]()
    if ret.test and control_version is None:
        raise pghalib.states.Later(f"{ret.name} would be written.")
    document = pghalib.backup.config.document(settings, secrets, control_version or 0)
    return ret.add(pghalib.backup.files.write(ret.name, document, settings["postgres"]["group"], ret.test, secrets))


@pghalib.states.state
def absent(ret):
    """
    The configuration of pgBackRest, which has secrets, and the link to its program are gone. A host may have a
    pgBackRest of somebody else's, whose files stay.

    name
        State ID; not used.
    """
    path, gone = pghalib.backup.config.PATH, []
    if (pghalib.host.files.peek(path) or "").startswith(pghalib.backup.config.HEAD):
        gone += [f"{os.path.dirname(path)}/{name}" for name in pghalib.host.files.remove(path, test=ret.test)]
    pghalib.host.clean.link(RELEASES, os.path.basename(pghalib.postgres.archive.PGBACKREST), gone.append, test=ret.test)
    ret.plan({name: {"old": "there", "new": None} for name in gone})
    return "The formula's pgBackRest is not set up here."


@pghalib.states.state
def known(ret, timeout):
    """
    Every repository answers this host and knows this cluster. The leader makes the cluster's place there (a stanza);
    the other members see that they find it too: after a failover each of them archives there.

    name
        State ID; not used.
    timeout
        Seconds to wait for it.
    """
    if ret.test and __salt__["pgha_backup.version"]() is None:
        raise pghalib.states.Later("The run would ask the repositories.")
    told = __salt__["pgha_backup.told"]()
    missing = _unknown(told)
    _of_another_system(told)
    leads = pghalib.patroni.member.leads(__salt__["pgha_patroni.member"]() or {})
    if not missing:
        if leads and not ret.test and _without_backup(told):
            # The run that has made the place may have ended before it sent them, and PostgreSQL sends none twice.
            __salt__["pgha_backup.push_history"]()
        return "Every repository knows the cluster."
    if ret.test:
        ret.plan({name: {"old": why, "new": "knows the cluster"} for name, why in missing.items()})
        return "The cluster would have its place in every repository."
    silent = _unknown(told, silent=True)
    if silent:
        # Waiting would not change that.
        raise CommandExecutionError(_sentence(silent))
    if leads:
        __salt__["pgha_backup.run"]("stanza-create", timeout=ATTEMPT + timeout)
        __salt__["pgha_backup.push_history"]()
        ret.changes = {name: {"old": why, "new": "knows the cluster"} for name, why in missing.items()}
        missing = _unknown(__salt__["pgha_backup.told"]())
        if missing:
            raise CommandExecutionError(_sentence(missing))
        return "The cluster has its place in every repository."

    def found():
        missing = _unknown(__salt__["pgha_backup.told"]())
        if missing:
            raise CommandExecutionError(_sentence(missing))
        return True

    pghalib.wait.until(found, timeout, "the repositories know the cluster, whose place there the leader makes", 1)
    return "Every repository knows the cluster."


@pghalib.states.state
def archiving(ret):
    """
    The cluster archives its WAL in the repositories: the leader sets ``archive_command`` for all members in the DCS,
    and waits until a file is there. A run whose file came nowhere leaves the command set, so the next one looks again.
    Where somebody archives by another command the state fails, and nothing is changed.

    name
        State ID; not used.
    """
    settings = __salt__["pgha.settings"]()
    wanted = pghalib.postgres.archive.by_pgbackrest(settings["cluster"]["name"])
    if ret.test and __salt__["pgha_patroni.member"]() is None:
        raise pghalib.states.Later("The archive would be compared, once Patroni runs.")
    live, _noted = pghalib.patroni.dynamic.parameters(__salt__["pgha_patroni.dynamic_config"]())
    now = live.get("archive_command")
    leads = pghalib.patroni.member.leads(__salt__["pgha_patroni.member"]() or {})
    if now == wanted:
        if not leads or not _unseen():
            return "PostgreSQL archives by pgBackRest."
        if ret.test:
            raise pghalib.states.Later("The run would see whether a file of WAL gets into every repository.")
        return _seen(wanted, settings["backup"]["startup_timeout"])
    if not leads:
        return "The leader's host turns the archive on."
    others = {name: live[name] for name in ("archive_command", "archive_library") if live.get(name)}
    if now == pghalib.postgres.archive.DEFAULTS["archive_command"]:
        del others["archive_command"]
    if others:
        shown = ", ".join(f"{name} = {value!r}" for name, value in others.items())
        raise CommandExecutionError(
            f"Somebody else archives already: {shown} is in the DCS. Take it out first (patronictl edit-config"
            f" {settings['cluster']['name']} -p {next(iter(others))}=null), and run this again"
        )
    ret.plan({"archive_command": {"old": now, "new": wanted}})
    if ret.test:
        return "The archive would be turned on."
    patch = {"postgresql": {"parameters": {"archive_command": wanted}}}
    send = __salt__["pgha_patroni.patch_config"]
    pghalib.wait.until(lambda: send(patch), 10, "Patroni takes the archive_command")
    return _seen(wanted, settings["backup"]["startup_timeout"])


def _seen(wanted, timeout):
    """See that a file of WAL gets into every repository, and return the sentence about it."""
    if __salt__["pgha_archive.told"]()["mode"] == "off":
        return (
            "The archive begins with the restart that archive_mode waits for: salt-run state.orchestrate pgha.restart."
        )
    pghalib.wait.until(lambda: _applied(wanted), timeout, "PostgreSQL has the archive_command")
    __salt__["pgha_backup.run"]("check", f"--archive-timeout={timeout}", timeout=timeout + ATTEMPT)
    return "The archive is on, and a file of WAL is in every repository."


def _unseen():
    """
    Whether nobody has seen a file of WAL get into every repository, or the last one did not. What the server has
    archived may have gone to nowhere, by the command of before: only a backup, which pgBackRest does not end without
    its WAL, tells that a repository takes WAL.
    """
    unproven = pghalib.postgres.archive.unproven(__salt__["pgha_archive.told"]())
    return unproven or bool(_without_backup(__salt__["pgha_backup.told"]()))


def _applied(wanted):
    return __salt__["pgha_archive.told"]()["how"] == wanted


def _unknown(told, silent=False):
    """``{repository: why}`` of those that do not know the cluster; ``silent``: of those alone that do not answer."""
    names = list(__salt__["pgha.settings"]()["backup"]["repositories"])
    repositories = {one["number"]: one for one in told["repositories"]}
    found = {}
    for number, name in enumerate(names, 1):
        one = repositories.get(number, {"fault": "does not tell", "unknown": False})
        if one["fault"] and not (silent and one["unknown"]):
            found[name] = one["fault"]
    return found


def _without_backup(told):
    """The names of the repositories that have no backup yet."""
    names = __salt__["pgha.settings"]()["backup"]["repositories"]
    having = {one["repository"] for one in told["backups"]}
    return [name for number, name in enumerate(names, 1) if number not in having]


def _of_another_system(told):
    """Fail when a repository has the data of another cluster under this one's name, such as of one that is lost."""
    settings = __salt__["pgha.settings"]()
    names = list(settings["backup"]["repositories"])
    own = __salt__["pgha_postgres.data_directory"]()["identifier"]
    found = {name: one for name, one in zip(names, told["systems"], strict=False) if one and own and one != own}
    if found:
        name, cluster = next(iter(found)), settings["cluster"]["name"]
        raise CommandExecutionError(
            f"The repository {name} has the backups of another {cluster}, with the system identifier {found[name]};"
            f" this one has {own}. If that one is lost and is to come back: salt-run state.orchestrate pgha.restore"
            " (docs/backup.md, When everything is lost). If not, give the repository another path"
        )


def _sentence(missing):
    return "; ".join(f"the repository {name}: {why}" for name, why in missing.items())
