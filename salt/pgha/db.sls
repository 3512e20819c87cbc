# A database host, complete.
include:
  - pgha.role
  - pgha.packages
  - pgha.postgres
  - pgha.consul
  - pgha.patroni
  - pgha.vip
  - pgha.patroni.writes
  - pgha.secrets
