include:
  - pgha.patroni.service
