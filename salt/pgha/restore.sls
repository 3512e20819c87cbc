# A restore: salt-run state.orchestrate pgha.restore pillar='{"pgha_restore": {…}}' (docs/backup.md)
include:
  - pgha.orchestrate.restore
