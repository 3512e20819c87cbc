# A turn of pgha.restart: on one member at a time, the leader last.
Patroni and PostgreSQL run what is installed and configured:
  pgha_restart.patroni:
    - failhard: True
