"""
States of a repository host: the directories of the repositories, and the configuration of the server before them.
"""

import os

import pghalib.backup.files
import pghalib.backup.keeper
import pghalib.host.descriptors
import pghalib.host.passage
import pghalib.secrets.served
import pghalib.services.owed
import pghalib.states
import pghalib.tls
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def directory(ret):
    """
    The directory of a repository exists and is pgBackRest's alone (0750). One that has something of somebody else's in
    it is never taken.

    name
        Its path. The missing directories above it are made root's.
    """
    fault = __salt__["pgha_repository.foreign"](ret.name)
    if fault:
        raise CommandExecutionError(fault)
    above = pghalib.host.passage.made(os.path.dirname(ret.name), test=ret.test)
    wanted = {"user": pghalib.tls.KEEPER, "group": pghalib.tls.KEEPER, "mode": "0750"}
    made = pghalib.host.descriptors.directory(ret.name, **wanted, test=ret.test)
    ret.plan({**above, **({ret.name: made} if made else {})})
    return "The repository would get its directory." if ret.test and ret.changes else "The directory is pgBackRest's."


@pghalib.states.state
def configured(ret):
    """
    The server of pgBackRest has its configuration: who may work for which cluster. It holds no secret. What the server
    has not read yet is noted.

    name
        Path of the file. Its directory must exist.
    """
    readers = pghalib.secrets.served.own(__pillar__, __opts__).get("readers", {})
    document = pghalib.backup.keeper.document(__salt__["pgha.settings"](), readers)
    done = pghalib.backup.files.write(ret.name, document, pghalib.tls.KEEPER, True)
    if done["changes"] and not ret.test:
        pghalib.services.owed.owe(pghalib.backup.keeper.RELOAD)
        done = pghalib.backup.files.write(ret.name, document, pghalib.tls.KEEPER, False)
    return ret.add(done)


@pghalib.states.state
def configuration_read(ret):
    """
    The server of pgBackRest has read its configuration as it is on the disk. It is told to, and not restarted: so the
    backups that are made here now go on.

    name
        State ID; not used.
    """
    if not pghalib.services.owed.owed(pghalib.backup.keeper.RELOAD):
        return "The server has read its configuration."
    unit = f"{pghalib.backup.keeper.UNIT}.service"
    ret.plan({unit: {"old": "another configuration", "new": "reloaded"}})
    if ret.test:
        return f"{unit} would be told to read its configuration."
    if not __salt__["service.reload"](unit):
        raise CommandExecutionError(f"systemctl reload {unit} failed: systemctl status {unit} says why")
    pghalib.services.owed.paid(pghalib.backup.keeper.RELOAD)
    return f"{unit} has been told to read its configuration."
