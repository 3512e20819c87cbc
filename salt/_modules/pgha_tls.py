"""
TLS on this host: its certificates, and the certificates that its services show.
"""

import contextlib
import os
import urllib.parse
from pathlib import Path

import pghalib.backup.repositories
import pghalib.consul.client
import pghalib.parse
import pghalib.secrets.pki
import pghalib.secrets.shown
import pghalib.secrets.x509
import pghalib.services.started
import pghalib.tls
from salt.exceptions import CommandExecutionError


def authorities():
    """
    Return the path of the file with the authorities that this host trusts, None where the pillar does not ask for TLS.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.authorities
    """
    return pghalib.tls.authorities(_settings())


def bundle():
    """
    Return the authorities that the master serves to this host, as PEM; None where the pillar does not ask for TLS, or
    while the master has not made them yet.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.bundle
    """
    served = (__pillar__.get("pgha_secrets") or {}).get("tls") or {}
    return served.get("ca") if authorities() else None


def speaks():
    """
    Return whether this host's Consul is configured for TLS; None before its first start, and when its configuration
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.speaks
    """
    data = Path(_settings()["consul"]["data_dir"])
    if __salt__["pgha_consul.pid"]() is None and not (data.is_dir() and any(data.iterdir())):
        return None
    try:
        text = Path(_settings()["consul"]["config_dir"], "config.json").read_text(encoding="utf-8")
        found = pghalib.parse.from_json(text)
    except (OSError, ValueError):
        return None
    return bool({"ca_file", "tls"} & set(found)) if isinstance(found, dict) else None


def stays():
    """
    Return True when the pillar does not switch TLS on or off for a host that is already built, else raise
    CommandExecutionError. The states call this before they write a file that a running cluster would read at its next
    restart.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.stays
    """
    for fault in pghalib.tls.switch_fault(speaks(), _settings()):
        raise CommandExecutionError(fault)
    return True


def not_yet():
    """
    Return a fault, as a list, when a certificate that the master serves to this host begins later than now: then this
    host's clock is behind, and nobody here would trust anybody.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.not_yet
    """
    served = (__pillar__.get("pgha_secrets") or {}).get("tls") or {}
    own = [pghalib.secrets.x509.describe(served[one]) for one in services() if one in served] if authorities() else []
    behind = max((one["begins_in"] for one in own), default=0)
    if behind <= 0:
        return []
    return [
        f"the clock of this host is at least {behind / 60:.0f} minutes behind that of whoever made its certificate,"
        " which is not valid yet: set the clock (timedatectl; an RTC in local time is read as UTC), or the master's"
    ]


def services():
    """
    Return which services of this host have a certificate: ``consul``, and on a database host ``postgres``; on a
    repository host ``repository``.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.services
    """
    return list(pghalib.secrets.pki.SERVICES[_settings()["role"]])


def certificate(service="consul"):
    """
    Return facts of a certificate on the disk: ``serial``, ``subject``, ``issuer``, ``names``, ``begins_in`` (seconds),
    ``until``, ``days`` left and ``due`` (less than a third of its lifetime is left). None when there is no certificate.

    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.

    Raises CommandExecutionError when the file holds no certificate.

    CLI Example:

    .. code-block:: bash

        salt 'test-db*' pgha_tls.certificate
    """
    path = Path(pghalib.tls.pem(service))
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    try:
        return pghalib.secrets.x509.describe(text)
    except ValueError:
        raise CommandExecutionError(f"{path} holds no certificate: run the main job, which writes it anew") from None


def untrusting_services(wanted):
    """
    Return a sentence for everything on this host that does not trust exactly these authorities, as a list. Only
    vip-manager needs a restart to read new authorities; the other services read them on a reload, which the main job
    does.

    wanted
        The master's authorities, as PEM.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.untrusting_services "$(salt-run pgha.authority test-dcs-cluster form=pem -l quiet)"
    """
    path = authorities()
    if not path or not os.path.exists(path) or Path(path).read_text(encoding="utf-8", errors="replace") != wanted:
        return ["the authorities of this host are not those of the master: salt-run state.orchestrate pgha"]
    found = [
        f"{unit} has not read the authorities yet: salt-run state.orchestrate pgha"
        for service, unit in (("consul", "Consul"), ("postgres", "Patroni"), ("repository", "pgBackRest"))
        if os.path.exists(pghalib.tls.unread(service))
    ]
    # If an older unit started vip-manager, nobody knows which authorities it trusts.
    unknown = {path, pghalib.services.started.unit("vip-manager")}
    if _settings()["role"] == "db" and unknown & set(__salt__["pgha_vip.restart_pending"]() or []):
        found.append("vip-manager was started with others: salt-run state.orchestrate pgha.restart")
    return found


def outdated(service):
    """
    Return the names of a service's ports that do not show the certificate on the disk, as a list. Each port is asked as
    a client would ask, so its certificate is also verified. A port that :py:func:`refused` names is one of them.

    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.

    Raises CommandExecutionError when a port does not answer, or shows a certificate that was never trusted.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.outdated postgres
    """
    wanted = certificate(service)
    found = {name: _shown(service, name, *where) for name, where in _ports(service).items()}
    return [name for name, shown in found.items() if not wanted or shown != wanted["serial"]]


def refused(service):
    """
    Return the names of a service's ports that show a certificate which no client accepts any more, as a list: it has
    ended, or a former authority has signed it and the service has not read the authorities of now yet. The certificate
    on the disk must be good, so that a reload of the service helps. A port that does not answer is left out.

    service
        ``consul``, ``postgres`` for PostgreSQL and Patroni, or ``repository`` for pgBackRest.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_tls.refused postgres
    """
    found = []
    for name, where in _ports(service).items():
        with contextlib.suppress(CommandExecutionError):
            found += [] if _shown(service, name, *where) else [name]
    return found


def status():
    """
    Return the state of this host's certificates, for a status report: ``until``, ``days`` left and ``due`` of the
    certificate that ends first, the same of its ``authority`` (with ``own``: the formula made it; None if one of the
    two files is missing), and in ``outdated`` the ports that show another certificate. None where the pillar does not
    ask for TLS.

    CLI Example:

    .. code-block:: bash

        salt '*' pgha_tls.status
    """
    if not authorities():
        return None
    certificates = [certificate(service) for service in services()]
    told = {"until": None, "days": None, "due": True}
    if all(certificates):
        told = min(certificates, key=lambda one: one["until"])
    late = []
    for service in services():
        # Another part of the report names a service that does not answer.
        with contextlib.suppress(CommandExecutionError):
            late += outdated(service)
    told = {key: told[key] for key in ("until", "days", "due")}
    return {**told, "authority": _authority(), "outdated": late}


def _authority():
    paths = (authorities(), pghalib.tls.pem(services()[0]))
    try:
        trusted, own = (Path(path).read_text(encoding="utf-8", errors="replace") for path in paths)
        found = pghalib.secrets.x509.end_of_authority(trusted, own)
    except FileNotFoundError:
        return None
    except ValueError:
        raise CommandExecutionError(f"{paths[0]} holds no authority: run the main job, which writes it anew") from None
    return {**found, "own": not _settings()["tls"]["ca"]}


def _ports(service):
    """The ports of a service: ``{name: (host, port, whether the client asks for TLS first)}``."""
    settings = _settings()
    if service == "consul":
        api = urllib.parse.urlsplit(pghalib.consul.client.api(settings)["address"])
        return {"Consul's API": (api.hostname, api.port, False)}
    if service == "repository":
        return {"pgBackRest": (settings["address"], pghalib.backup.repositories.PORT, False)}
    return {
        "Patroni's REST API": (settings["address"], settings["patroni"]["restapi_port"], False),
        "PostgreSQL": (settings["address"], settings["postgres"]["port"], True),
    }


def _shown(service, name, host, port, starttls):
    """The serial number of the certificate that a port shows; None for one that a reload replaces by a good one."""
    try:
        return pghalib.secrets.shown.serial(host, port, starttls=starttls, authorities=authorities())
    except OSError as error:
        unread = os.path.exists(pghalib.tls.unread(service))
        if pghalib.secrets.shown.former(error, unread) and _good(service):
            return None
        raise CommandExecutionError(f"{name} at {host}:{port} cannot be asked with TLS: {error}")


def _good(service):
    """Whether the certificate on the disk can be verified."""
    try:
        trusted, own = (Path(path).read_text(encoding="utf-8") for path in (authorities(), pghalib.tls.pem(service)))
        return pghalib.secrets.shown.in_time(trusted, own)
    except (OSError, ValueError):
        return False


def _settings():
    return __salt__["pgha.settings"]()
