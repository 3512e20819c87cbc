# A repository host, complete: it keeps the backups that the members of the clusters make there (docs/backup.md).
include:
  - pgha.notes.role
  - pgha.hosts
  - pgha.repository.install
  - pgha.repository.config
  - pgha.repository.service
