# WAL and backups are in the repositories of the pillar, and a timer makes the next one (docs/backup.md).
include:
  - pgha.backup.install
  - pgha.backup.config
  - pgha.backup.service
  - pgha.backup.proof
