"""
States of a member: its data are checked before anything is made, and noted when the member serves; its Patroni works by
the timing of now before the guard does.
"""

import os

import pghalib.host.files
import pghalib.host.passage
import pghalib.postgres.member_note
import pghalib.states
import pghalib.wait
from salt.exceptions import CommandExecutionError


@pghalib.states.state
def data_kept(ret):
    """
    The data that this host had are still there, or it never had data. Otherwise the state fails, and nothing is made in
    their place. When ``pgha:new_data`` names this host, the note of lost data is removed, and Patroni makes a new copy.

    name
        State ID; not used.

    .. code-block:: yaml

        The data of this member are not missing:
          pgha_member.data_kept: []
    """
    found = __salt__["pgha_member.verdict"]()
    if found["faults"]:
        raise CommandExecutionError("; ".join(found["faults"]))
    if not found["allowed"]:
        return "; ".join(found["warnings"]) or "The data are where they were, or there were none."
    pghalib.host.files.remove(pghalib.postgres.member_note.NOTE, test=ret.test)
    ret.changes["data of this member"] = {"old": "noted", "new": "lost, by pgha:new_data"}
    return "This member gets a new copy."


@pghalib.states.state
def noted(ret, timeout):
    """
    This host has noted that it has data of its cluster, and where. The next run looks for them before it makes
    anything.

    name
        State ID; not used.
    timeout
        Seconds to wait until Patroni tells which data it has. A new leader serves before it does: Patroni tells the
        system identifier when the bootstrap is over, and the bootstrap also makes the roles.

    .. code-block:: yaml

        This member has noted where its data are:
          pgha_member.noted:
            - timeout: 300
    """
    if ret.test and __salt__["pgha_member.note"]() is None:
        raise pghalib.states.Later("The note would be written when Patroni tells which data it has.")
    told = "Patroni tells which data it has"
    text = pghalib.wait.until(__salt__["pgha_member.note"], 0 if ret.test else timeout, told)
    if not ret.test:
        pghalib.host.passage.made(os.path.dirname(pghalib.postgres.member_note.NOTE), test=False, top="/etc/pgha")
    done = pghalib.host.files.manage(
        pghalib.postgres.member_note.NOTE, text, user="root", group="root", mode="0600", test=ret.test
    )
    return ret.add(done)


@pghalib.states.state
def in_step(ret):
    """
    Patroni on this host has no longer loop than the declared one. The guard counts on that: until Patroni has heard of
    a shorter loop, a leader says less often that it leads than the guard would wait for. Changes no file.

    name
        State ID; not used.

    .. code-block:: yaml

        Patroni of this host works by the timing that its guard is told:
          pgha_member.in_step: []
    """

    def heard():
        return __salt__["pgha_dynamic.loop"]() <= __salt__["pgha.settings"]()["patroni"]["loop_wait"]

    if heard():
        return "Patroni works by the declared timing."
    if ret.test:
        return "Patroni would be asked to take the timing up."
    timeout = 3 * __salt__["pgha_dynamic.loop"]()
    __salt__["pgha_patroni.wake"]()
    pghalib.wait.until(heard, timeout, "Patroni has taken up the declared timing")
    return "Patroni has taken the declared timing up."
