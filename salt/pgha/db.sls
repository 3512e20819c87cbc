# A database host, complete.
include:
  - pgha.notes.role
  - pgha.stages.packages
  - pgha.postgres
  - pgha.consul
  - pgha.patroni
  - pgha.guard
  - pgha.vip
  - pgha.patroni.writes
  - pgha.backup
  - pgha.notes.secrets
