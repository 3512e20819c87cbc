include:
  - pgha.postgres.install
