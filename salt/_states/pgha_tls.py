"""
States of TLS: the certificate is where a service reads it, and the service shows it.
"""

import functools
import os
import time

import pghalib.backup.keeper
import pghalib.host.files
import pghalib.host.passage
import pghalib.secrets.served
import pghalib.secrets.x509
import pghalib.states
import pghalib.tls
import pghalib.wait
from salt.exceptions import CommandExecutionError

#: The unit to reload for a service's certificate; Patroni also reloads PostgreSQL.
UNITS = {"consul": "consul", "postgres": "patroni", "repository": pghalib.backup.keeper.UNIT}
#: Seconds until a service that still shows another certificate is reloaded again.
AGAIN = 5


@pghalib.states.state
def installed(ret, service):
    """
    The master's authorities, and this host's key and certificate, are in the files that a service reads.

    name
        State ID; not used.
    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.

    The running service still uses the old files; :py:func:`in_use` makes it read the new ones.
    """
    own = pghalib.secrets.served.own(__pillar__, __opts__).get("tls")
    if ret.test and not own:
        raise pghalib.states.Later("The master has made no certificate yet; this would follow.")
    __salt__["pgha_tls.stays"]()
    if not own:
        raise CommandExecutionError("The master serves no certificate to this host: salt-run pgha.secrets makes one")
    settings = __salt__["pgha.settings"]()
    authorities = pghalib.tls.authorities(settings)
    for path, entry in pghalib.tls.files(settings, own, service).items():
        before, content = _described(path), entry["content"]
        if not ret.test:
            pghalib.host.passage.made(os.path.dirname(path), test=False, top="/etc/pgha")
            if path == authorities and before and _text(path) != content:
                _note_unread()
        done = pghalib.host.files.manage(path, **entry, test=ret.test)
        if done["changes"]:
            # Never the diff: it would show the key.
            ret.say(ret.add({**done, "changes": {"old": before, "new": _what(content)}}, path))
    return None if ret.changes else "The certificate and the authorities are those of the master."


@pghalib.states.state
def accepted(ret, service, timeout=60):
    """
    No port of a service shows a certificate that no client accepts any more: one that has ended, or one of a former
    authority. Otherwise the service is reloaded. For a service that the next states ask before :py:func:`in_use` can
    wait for all of its ports; a port that does not answer is left to them.

    name
        State ID; not used.
    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.
    timeout
        Seconds to wait until the ports show another certificate.
    """
    refused = __salt__["pgha_tls.refused"]
    late = refused(service)
    if not late:
        return f"No port of {service} shows a certificate that has ended."
    ret.plan({port: {"old": "a certificate that no client accepts", "new": "this host's"} for port in late})
    if ret.test:
        return f"{UNITS[service]} would be told to read its TLS files ({', '.join(late)})."
    what = f"every port of {service} shows a certificate that clients accept (else: systemctl restart {UNITS[service]})"
    pghalib.wait.until(functools.partial(_taken, service, refused, {"at": float("-inf")}), timeout, what)
    return f"{', '.join(late)} read the certificate anew."


@pghalib.states.state
def in_use(ret, service, timeout=60):
    """
    Every port of a service shows the certificate on the disk, and the service has read the authorities.
    Otherwise the service is reloaded. If it still shows the old certificate, it is not restarted: the comment and
    ``pgha.status`` say that a restart is pending.

    name
        State ID; not used.
    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.
    timeout
        Seconds to wait until the ports answer, and until they show the certificate.
    """
    unit = UNITS[service]
    if ret.test and not __salt__["service.status"](unit):
        raise pghalib.states.Later(f"The certificate would be looked at when {unit} runs.")
    outdated = __salt__["pgha_tls.outdated"]

    def looked():
        # The list is in a tuple, because an empty list is a good answer and must not count as false.
        return (outdated(service),)

    if ret.test and pghalib.wait.now(looked) is None:
        raise pghalib.states.Later(f"The certificate would be looked at when {unit} answers with TLS.")
    late = pghalib.wait.until(looked, timeout, f"{service} answers with TLS")[0]
    changes = {port: {"old": "another certificate", "new": "this host's"} for port in late}
    if os.path.exists(pghalib.tls.unread(service)):
        changes["authorities"] = {"old": "others", "new": "the master's"}
    if not changes:
        return f"Every port of {service} shows the certificate of this host."
    if ret.test:
        ret.plan(changes)
        return f"{unit} would be told to read its TLS files ({', '.join(changes)})."
    try:
        _told(service, changes, late, timeout)
    except CommandExecutionError as error:
        # No failure, and no change: the service works with what it has read before.
        return f"Restart pending: {unit} was told to read its TLS files; {error}"
    ret.plan(changes)
    return f"{', '.join(late)} read the certificate anew." if late else f"{unit} read the authorities anew."


def _told(service, changes, late, timeout):
    """Tell a service to read its authorities and its certificate, and wait until the late ports show that."""
    if "authorities" in changes and not __salt__["service.reload"](UNITS[service]):
        raise CommandExecutionError(f"systemctl reload {UNITS[service]} failed")
    if late:
        taken = functools.partial(_taken, service, __salt__["pgha_tls.outdated"], {"at": float("-inf")})
        pghalib.wait.until(taken, timeout, "every port shows the certificate")
    if "authorities" in changes:
        # Not before: without the note a port that still shows the certificate of a former authority is an error.
        os.unlink(pghalib.tls.unread(service))


def _taken(service, late, told):
    """
    Whether ``late`` names no port of the service. Else the service is reloaded every AGAIN seconds. One reload is not
    enough when Patroni's own file has also changed: Patroni 4.1 then reads only that file, and the certificate at the
    next reload.
    """
    if not late(service):
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
