"""
States of TLS: the certificate is where a service reads it, and the service shows it.
"""

import functools
import os
import time

import pghalib.errors
import pghalib.host.files
import pghalib.host.passage
import pghalib.secrets.served
import pghalib.secrets.x509
import pghalib.tls
import pghalib.wait
from salt.exceptions import CommandExecutionError

#: The unit to reload for a service's certificate; Patroni also reloads PostgreSQL.
UNITS = {"consul": "consul", "postgres": "patroni"}
#: Seconds until a service that still shows another certificate is reloaded again.
AGAIN = 5


@pghalib.errors.told
def installed(name, service):
    """
    The master's authorities, and this host's key and certificate, are in the files that a service reads.

    name
        State ID; not used.
    service
        ``consul``, or ``postgres`` for PostgreSQL and Patroni.

    The running service still uses the old files; :py:func:`in_use` makes it read the new ones.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "They are as the master has them."}
    if __opts__["test"] and not (__pillar__.get("pgha_secrets") or {}).get("tls"):
        return {**ret, "result": None, "comment": "The master has made no certificate yet; this would follow."}
    try:
        __salt__["pgha_tls.stays"]()
        own = pghalib.secrets.served.own(__pillar__, __opts__).get("tls")
        if not own:
            raise CommandExecutionError("The master serves no certificate to this host: salt-run pgha.secrets makes it")
        authorities = pghalib.tls.authorities(__salt__["pgha.settings"]())
        for path, entry in pghalib.tls.files(__salt__["pgha.settings"](), own, service).items():
            before = _described(path)
            content = entry["content"]
            if not __opts__["test"]:
                pghalib.host.passage.made(os.path.dirname(path), test=False, top="/etc/pgha")
                if path == authorities and before and _text(path) != content:
                    _note_unread()
            done = pghalib.host.files.manage(path, **entry, test=__opts__["test"])
            if done["changes"]:
                # Never the diff: it would show the key.
                ret["changes"][path] = {"old": before, "new": _what(content)}
                ret["comment"] = "They would be written." if __opts__["test"] else "They were written."
                ret["result"] = ret["result"] and done["result"]
    except CommandExecutionError as error:
        return {**ret, "result": False, "changes": {}, "comment": str(error)}
    return ret


@pghalib.errors.told
def in_use(name, service, timeout=60):
    """
    Every port of a service shows the certificate on the disk, and the service has read the authorities.
    Otherwise the service is reloaded. If it still shows the old certificate, it is not restarted: the comment and
    ``pgha.status`` say that a restart is pending.

    name
        State ID; not used.
    service
        ``consul``, or ``postgres`` for PostgreSQL and Patroni.
    timeout
        Seconds to wait until the ports answer, and until they show the certificate.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "It shows the certificate of this host."}
    if __opts__["test"] and not __salt__["service.status"](UNITS[service]):
        return {**ret, "result": None, "comment": "It would be looked at when the service runs."}
    outdated = __salt__["pgha_tls.outdated"]
    try:
        # The list is in a tuple, because an empty list is a good answer and must not count as false.
        late = pghalib.wait.until(lambda: (outdated(service),), timeout, f"{service} answers with TLS")[0]
        unread = pghalib.tls.unread(service)
        ret["changes"] = {port: {"old": "another certificate", "new": "this host's"} for port in late}
        if os.path.exists(unread):
            ret["changes"]["authorities"] = {"old": "others", "new": "the master's"}
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": f"{', '.join(ret['changes'])} would be told to be read."}
        if "authorities" in ret["changes"]:
            if not __salt__["service.reload"](UNITS[service]):
                raise CommandExecutionError(f"systemctl reload {UNITS[service]} failed")
            os.unlink(unread)
        if not late:
            return {**ret, "comment": "It read the authorities anew."}
        told = {"at": float("-inf")}
        pghalib.wait.until(functools.partial(_taken, service, told), timeout, "every port shows the certificate")
    except CommandExecutionError as error:
        if ret["changes"]:
            return {**ret, "changes": {}, "comment": f"Restart pending: {UNITS[service]} was told to read it; {error}"}
        return {**ret, "result": False, "comment": str(error)}
    return {**ret, "comment": f"{', '.join(late)} read it anew."}


def _taken(service, told):
    """
    Whether every port shows the certificate. Else the service is reloaded every AGAIN seconds. One reload is not enough
    when Patroni's own file has also changed: Patroni 4.1 then reads only that file, and the certificate at the next
    reload.
    """
    if not __salt__["pgha_tls.outdated"](service):
        return True
    if time.monotonic() >= told["at"] + AGAIN:
        told["at"] = time.monotonic()
        __salt__["service.reload"](UNITS[service])
    return False


def _note_unread():
    """Note that the running services must read the authorities. A boot removes the note: they read them at start."""
    for service in __salt__["pgha_tls.services"]():
        note = pghalib.tls.unread(service)
        os.makedirs(os.path.dirname(note), mode=0o755, exist_ok=True)
        with open(note, "w", encoding="utf-8"):
            pass


def _described(path):
    text = _text(path)
    return None if text is None else _what(text)


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _what(pem):
    """A certificate in one line for the changes, without secrets."""
    try:
        found = pghalib.secrets.x509.describe(pem)
    except ValueError:
        return "no certificate"
    return f"{found['subject']}, serial {found['serial'][:8]}, until {found['until'][:10]}"
