# A turn of pgha.restart: on the leader, before its replicas.
The leader runs with the lowered parameters:
  pgha_restart.lowered:
    - failhard: True
