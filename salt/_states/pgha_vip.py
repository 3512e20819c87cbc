"""
States of the virtual IP: vip-manager's configuration, and the address on the leader.
"""

import pghalib.errors
import pghalib.host.files
import pghalib.secrets.served
import pghalib.vip.config
import pghalib.vip_manager
import pghalib.wait
from salt.exceptions import CommandExecutionError

CONFIG = "/etc/vip-manager/vip-manager.yml"
HELPER = "/usr/local/sbin/pgha-vip"
_STOPPED = "Patroni does not run: journalctl -u patroni, or the result of its states in this run, says why."


@pghalib.errors.told
def configured(name=CONFIG):
    """
    vip-manager has its configuration; when it asks Consul, with the token that reads the leader key.

    name
        Path of the file (0600, root). Its directory must exist.

    A running vip-manager is not restarted, because a restart removes the virtual IP for a moment. The comment says that
    a restart is pending; ``pgha_vip.restarted`` does it, one host at a time.
    """
    try:
        settings = __salt__["pgha.settings"]()
        secret = None
        if pghalib.vip_manager.asks_consul(settings["vip"]):
            if __opts__["test"] and not __pillar__.get(pghalib.secrets.served.KEY):
                return _ret(name, None, "The master has made no secrets yet; this would follow.")
            secret = pghalib.secrets.served.own(__pillar__, __opts__)["vip"]["secret"]
        mapping = pghalib.vip.config.config(settings, __salt__["pgha_vip.interface"](), secret)
        ret = pghalib.host.files.manage(
            name,
            pghalib.vip.config.text(mapping),
            user="root",
            group="root",
            mode="0600",
            test=__opts__["test"],
            secrets=[value for key, value in mapping.items() if "token" in key or "password" in key],
        )
    except CommandExecutionError as error:
        return _ret(name, False, str(error))
    if ret["result"] and __salt__["pgha_vip.restart_pending"]():
        ret["comment"] += " A restart of vip-manager is pending: until then it works with the old configuration."
    return {"name": name, **ret}


@pghalib.errors.told
def restarted(name):
    """
    vip-manager runs with the configuration, the unit and the program on the disk. It is restarted only if it does not.

    name
        State ID; not used.

    On the leader the virtual IP is gone for up to ``vip:interval`` milliseconds and the time of the restart.
    """
    pending = __salt__["pgha_vip.restart_pending"]()
    if not pending:
        return _ret(name, True, "vip-manager does not run." if pending is None else "vip-manager runs what is there.")
    changes = {"vip-manager": {"old": f"older than {', '.join(pending)}", "new": "restarted"}}
    if __opts__["test"]:
        return _ret(name, None, "vip-manager would be restarted.", changes)
    if not __salt__["service.restart"]("vip-manager.service"):
        return _ret(name, False, "vip-manager did not restart: see journalctl -u vip-manager")
    return _ret(name, True, "vip-manager was restarted.", changes)


@pghalib.errors.told
def follows_leader(name, timeout=60):
    """
    The virtual IP is on this host if and only if Patroni here holds the leader lock.

    name
        State ID; not used.
    timeout
        Seconds to wait for this, and for Patroni's answer about the leader lock.
    """
    seen = {}

    def looked():
        seen.update(leads=__salt__["pgha_vip.leads"](), holds=__salt__["pgha_vip.holds"]())
        return seen["leads"] == seen["holds"] or _silent(seen)

    try:
        pghalib.wait.until(looked, 0 if __opts__["test"] else timeout, "the virtual IP is where the leader is")
    except CommandExecutionError as error:
        if not seen:
            return _ret(name, False, str(error))
        if __opts__["test"]:
            return _ret(name, None, _where(**seen))
        return _ret(name, False, f"{_where(**seen)} That is so after {timeout} s: see journalctl -u vip-manager")
    if _silent(seen):
        return _ret(name, None if __opts__["test"] else False, f"{_where(**seen)} {_STOPPED}")
    return _ret(name, True, _where(**seen))


@pghalib.errors.told
def held_by_leader(name, timeout=60):
    """
    The virtual IP is on this host if and only if Patroni here holds the leader lock. A wrong place is corrected at
    once.

    name
        State ID; not used.
    timeout
        Seconds to wait for Patroni's answer. Without an answer the address stays where it is: a leader that answers
        slowly is still the leader, and nothing would give the address back to it.

    For callback mode: Patroni calls its callback only when a role changes. So it is not called for a leader that led
    before the callback was set up.
    """
    seen = {}

    def told():
        seen.update(leads=__salt__["pgha_vip.leads"](), holds=__salt__["pgha_vip.holds"]())
        return seen["leads"] is not None or _silent(seen)

    try:
        if not __opts__["test"]:
            pghalib.wait.until(told, timeout, "Patroni here tells whether it is the leader")
        elif not told():
            return _ret(name, None, _where(**seen))
        if _silent(seen):
            return _ret(name, None if __opts__["test"] else False, f"{_where(**seen)} {_STOPPED}")
        leads, holds = seen["leads"], seen["holds"]
        if leads == holds:
            return _ret(name, True, _where(leads, holds))
        changes = {"virtual IP": {"old": "here" if holds else "not here", "new": "here" if leads else "not here"}}
        if __opts__["test"]:
            return _ret(name, None, "The virtual IP would be moved.", changes)
        __salt__["pgha_vip.move"]("add" if leads else "del")
        return _ret(name, True, _where(leads, leads), changes)
    except CommandExecutionError as error:
        if seen and seen["leads"] is None:
            return _ret(name, False, f"{_where(**seen)} That is so after {timeout} s: see systemctl status patroni")
        return _ret(name, False, str(error))


@pghalib.errors.told
def callback_allowed(name):
    """
    Patroni's user may move the virtual IP through sudo, as the callback does. The check runs sudo as that user.

    name
        State ID; not used.
    """
    faults = __salt__["pgha_vip.callback_faults"]()
    if not faults:
        return _ret(name, True, "It may.")
    if __opts__["test"] and not __salt__["file.file_exists"](HELPER):
        return _ret(name, None, "This would be proven when the helper is there.")
    return _ret(name, False, " ".join(faults))


@pghalib.errors.told
def callback_released(name=HELPER):
    """
    The callback no longer keeps the virtual IP on this host; for the end of callback mode.

    name
        Path of the helper. Without the helper the formula did not put the address there, so it stays.
    """
    if not __salt__["file.file_exists"](name):
        return _ret(name, True, "There is no callback.")
    if __opts__["test"]:
        return _ret(name, None, "The virtual IP would be taken away if the callback has put it here.")
    try:
        done = __salt__["pgha_vip.move"]("del")
    except CommandExecutionError as error:
        return _ret(name, False, str(error))
    moved = {"virtual IP": {"old": "here", "new": "not here"}} if "removed" in done else {}
    return _ret(name, True, done, moved)


def _silent(seen):
    """Whether Patroni gives no answer because it does not run: then there is nothing to wait for."""
    if seen["leads"] is not None:
        return False
    return __salt__["service.show"]("patroni.service").get("ActiveState") in ("inactive", "failed")


def _where(leads, holds):
    says = {True: "is the leader", False: "is not the leader", None: "does not tell whether it is the leader"}[leads]
    return f"Patroni here {says}, the virtual IP {'is' if holds else 'is not'} here."


def _ret(name, result, comment, changes=None):
    return {"name": name, "result": result, "changes": changes or {}, "comment": comment}
