# A database host, complete.
include:
  - pgha.role
  - pgha.hosts
  - pgha.postgres
  - pgha.patroni.install
  - pgha.vip.install
  - pgha.consul
  - pgha.patroni
  - pgha.vip
