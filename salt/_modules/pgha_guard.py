"""
The guard of a database host, which takes the virtual IP away and stops PostgreSQL where Patroni cannot step down; and
Patroni's own watchdog.
"""

import pghalib.patroni.guard
import pghalib.services.shown
import pghalib.vip


def config():
    """
    Return what the guard of this host is told, as a mapping: where Patroni is asked, after how many seconds without a
    yes the guard acts, and what it takes away and stops.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_guard.config
    """
    return dict(pghalib.patroni.guard.config(__salt__["pgha.settings"](), pghalib.vip.HELPER))


def faults():
    """
    Return a sentence when this host should have a guard and none runs, or one that ends again and again: then nothing
    stops a leader whose Patroni is dead or hung.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_guard.faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or not settings["patroni"]["guard"]:
        return []
    shown = __salt__["service.show"]("pgha-guard.service")
    if pghalib.services.shown.waits(shown):
        return [
            "pgha-guard ended and waits for its next start: nothing stops this server when Patroni is dead or hung;"
            " journalctl -u pgha-guard says why"
        ]
    if pghalib.services.shown.starts(shown):
        return []
    return [
        "pgha-guard does not run: nothing stops this server when Patroni is dead or hung; systemctl start pgha-guard,"
        " or run the main job"
    ]


def watchdog_faults():
    """
    Return a sentence when this host could never lead, as Patroni needs a watchdog here (``patroni:watchdog`` is
    ``required``) and cannot open it.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_guard.watchdog_faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or settings["patroni"]["watchdog"] != "required":
        return []
    # Said only while something is wrong. A Patroni that does not answer is named elsewhere.
    if (__salt__["pgha_patroni.member"]() or {}).get("watchdog_failed") is not True:
        return []
    return [
        "Patroni cannot use /dev/watchdog, and patroni:watchdog is required, so this host will never lead: load its"
        " module (such as i6300esb or softdog), also for the next boot, and let PostgreSQL's user write to it"
    ]
