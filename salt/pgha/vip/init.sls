# The virtual IP is where the leader is: moved by vip-manager or by Patroni's callback (vip:manager), or by nobody.
include:
  - pgha.vip.install
  - pgha.vip.config
  - pgha.vip.service
