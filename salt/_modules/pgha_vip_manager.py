"""
vip-manager of a database host: whether it runs, as it has to on replicas too.
"""

import pghalib.services.shown


def faults():
    """
    Return a sentence when vip-manager should run on this host and does not. On a replica nothing else shows that before
    the host leads.

    CLI Example:

    .. code-block:: bash

        salt 'test-db1' pgha_vip_manager.faults
    """
    settings = __salt__["pgha.settings"]()
    if settings["role"] != "db" or settings["vip"]["manager"] != "vip-manager" or not settings["cluster"]["vip"]:
        return []
    # One that ends again and again is between two starts at nearly every look, and does not run then.
    if pghalib.services.shown.runs(__salt__["service.show"]("vip-manager.service")):
        return []
    return [
        "vip-manager does not run, so the virtual IP would not come to this host if it led: journalctl -u vip-manager"
        " says why; systemctl start vip-manager, or run the main job"
    ]
