"""
States of a repository host: the directories of the repositories, and the configuration of the server before them.
"""

import os

import pghalib.backup.files
import pghalib.backup.keeper
import pghalib.host.descriptors
import pghalib.host.passage
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
    The server of pgBackRest has its configuration: who may work for which cluster. It holds no secret.

    name
        Path of the file. Its directory must exist.
    """
    document = pghalib.backup.keeper.document(__salt__["pgha.settings"]())
    return ret.add(pghalib.backup.files.write(ret.name, document, pghalib.tls.KEEPER, ret.test))
