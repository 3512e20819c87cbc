"""
The virtual IP: the program that moves it, and where that program looks for the leader.

States and files of hosts have these paths as they are (salt/pgha/vip); that of Patroni's callback is in
``pghalib.patroni.config``.
"""

#: vip-manager, and what it reads at its start.
PROGRAM = "/usr/bin/vip-manager"
CONFIG = "/etc/vip-manager/vip-manager.yml"
#: What moves the address for Patroni's callback.
HELPER = "/usr/local/sbin/pgha-vip"
