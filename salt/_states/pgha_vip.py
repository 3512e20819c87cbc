"""
States of the virtual IP: vip-manager's configuration, and the address on the leader.
"""

import contextlib

import pghalib.host.files
import pghalib.secrets.served
import pghalib.services.shown
import pghalib.states
import pghalib.vip
import pghalib.vip.config
import pghalib.vip_manager
import pghalib.wait
from salt.exceptions import CommandExecutionError

HELPER = pghalib.vip.HELPER
# Seconds in which a vip-manager that knows the address brings it to a new leader.
MOMENT = 5
_STOPPED = "Patroni does not run: journalctl -u patroni, or the result of its states in this run, says why."


@pghalib.states.state
def configured(ret):
    """
    vip-manager has its configuration; when it asks Consul, with the token that reads the leader key.

    name
        Path of the file (0600, root). Its directory must exist.

    A running vip-manager is not restarted, because a restart removes the virtual IP for a moment. The comment says that
    a restart is pending; ``pgha_vip.restarted`` does it, one host at a time.
    """
    settings = __salt__["pgha.settings"]()
    __salt__["pgha_tls.stays"]()
    secret = None
    if pghalib.vip_manager.asks_consul(settings["vip"]):
        secret = pghalib.secrets.served.own(__pillar__, __opts__)["vip"]["secret"]
    mapping = pghalib.vip.config.config(settings, __salt__["pgha_vip.interface"](), secret)
    done = pghalib.host.files.manage(
        ret.name,
        pghalib.vip.config.text(mapping),
        user="root",
        group="root",
        mode="0600",
        test=ret.test,
        secrets=[value for key, value in mapping.items() if "token" in key or "password" in key],
    )
    ret.say(ret.add(done))
    if __salt__["pgha_vip.restart_pending"]():
        return "A restart of vip-manager is pending: until then it works with the old configuration."
    return None


@pghalib.states.state
def restarted(ret):
    """
    vip-manager runs with the configuration, the unit and the program on the disk. It is restarted only if it does not.

    name
        State ID; not used.

    On the leader the virtual IP is gone for up to ``vip:interval`` milliseconds and the time of the restart.
    """
    pending = __salt__["pgha_vip.restart_pending"]()
    if not pending:
        return "vip-manager does not run." if pending is None else "vip-manager runs what is there."
    ret.plan({"vip-manager": {"old": f"older than {', '.join(pending)}", "new": "restarted"}})
    if ret.test:
        return "vip-manager would be restarted."
    if not __salt__["service.restart"]("vip-manager.service"):
        raise CommandExecutionError("vip-manager did not restart: see journalctl -u vip-manager")
    return "vip-manager was restarted."


@pghalib.states.state
def follows_leader(ret, timeout=60):
    """
    The virtual IP is on this host if and only if Patroni here holds the leader lock.

    name
        State ID; not used.
    timeout
        Seconds to wait for this, and for Patroni's answer about the leader lock. A leader whose vip-manager works with
        its former configuration is given a moment only: that may have another address.
    """
    seen, patience = {}, 0 if ret.test else timeout

    def looked():
        seen.update(leads=__salt__["pgha_vip.leads_by_patroni"](), holds=__salt__["pgha_vip.holds"]())
        return seen["leads"] == seen["holds"] or _silent(seen)

    if outdated := __salt__["pgha_vip.outdated"]():
        with contextlib.suppress(CommandExecutionError):
            pghalib.wait.until(looked, min(patience, MOMENT), "the virtual IP is on the leader")
        if seen.get("leads") and not seen["holds"]:
            _wrong(ret, seen, outdated)
    try:
        pghalib.wait.until(looked, patience, "the virtual IP is where the leader is")
    except CommandExecutionError:
        if not seen:
            raise
        _wrong(ret, seen, f"The wait ended after {timeout} s: see journalctl -u vip-manager")
    if _silent(seen):
        _wrong(ret, seen, _STOPPED)
    return _where(**seen)


@pghalib.states.state
def held_by_leader(ret, timeout=60):
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
        seen.update(leads=__salt__["pgha_vip.leads_by_patroni"](), holds=__salt__["pgha_vip.holds"]())
        return seen["leads"] is not None or _silent(seen)

    try:
        pghalib.wait.until(told, 0 if ret.test else timeout, "Patroni here tells whether it is the leader")
    except CommandExecutionError:
        if not seen:
            raise
        _wrong(ret, seen, f"The wait ended after {timeout} s: see systemctl status patroni")
    if _silent(seen):
        _wrong(ret, seen, _STOPPED)
    leads, holds = seen["leads"], seen["holds"]
    if leads == holds:
        return _where(leads, holds)
    ret.plan({"virtual IP": {"old": "here" if holds else "not here", "new": "here" if leads else "not here"}})
    if ret.test:
        return "The virtual IP would be moved."
    __salt__["pgha_vip.move"]("add" if leads else "del")
    return _where(leads, leads)


@pghalib.states.state
def callback_allowed(ret):
    """
    Patroni's user may move the virtual IP through sudo, as the callback does. The check runs sudo as that user.

    name
        State ID; not used.
    """
    faults = __salt__["pgha_vip.callback_faults"]()
    if not faults:
        return "Patroni's user may move the virtual IP."
    if ret.test and not __salt__["file.file_exists"](HELPER):
        raise pghalib.states.Later("The right to move the virtual IP would be proven when the helper is there.")
    raise CommandExecutionError(" ".join(faults))


@pghalib.states.state
def former_released(ret):
    """
    The callback's helper, if it is there, moves the virtual IP of the pillar; or the former one that it moves is not on
    this host any more. For the moment before the helper is replaced or removed: nothing else takes that address away,
    and after the next failover its clients would read from a replica.

    name
        State ID; not used.
    """
    vip = __salt__["pgha.settings"]()["cluster"]["vip"]
    former = __salt__["pgha_vip.helper_address"]()
    if not former or (vip and former == vip["address"]):
        return "The callback has put no other address here."
    if any(row["address"] == former for row in __salt__["pgha_vip.addresses"]()):
        ret.plan({"former virtual IP": {"old": former, "new": "not here"}})
    if ret.test:
        return f"{former} would be taken away if it is here."
    return __salt__["pgha_vip.move"]("del")


@pghalib.states.state
def callback_released(ret):
    """
    The callback no longer keeps the virtual IP on this host; for the end of callback mode.

    name
        Path of the helper. Without the helper the formula did not put the address there, so it stays.
    """
    if not __salt__["file.file_exists"](ret.name):
        return "There is no callback."
    if ret.test:
        raise pghalib.states.Later("The virtual IP would be taken away if the callback has put it here.")
    done = __salt__["pgha_vip.move"]("del")
    if "removed" in done:
        ret.changes["virtual IP"] = {"old": "here", "new": "not here"}
    return done


def _silent(seen):
    """Whether Patroni gives no answer because it does not run: then there is nothing to wait for."""
    if seen["leads"] is not None:
        return False
    return pghalib.services.shown.ended(__salt__["service.show"]("patroni.service"))


def _wrong(ret, seen, why):
    """Fail, because the virtual IP is not where the leader is. A dry run only says where it is."""
    if ret.test:
        raise pghalib.states.Later(_where(**seen) + (f" {why}" if why == _STOPPED else ""))
    raise CommandExecutionError(f"{_where(**seen)} {why}")


def _where(leads, holds):
    says = {True: "is the leader", False: "is not the leader", None: "does not tell whether it is the leader"}[leads]
    return f"Patroni here {says}, the virtual IP {'is' if holds else 'is not'} here."
