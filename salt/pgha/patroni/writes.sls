{% from "pgha/map.jinja" import pgha with context %}
# The last gate: a client that knows nothing but the address of the cluster can write. It leaves nothing behind.
include:
  - pgha.vip

{{ (pgha.cluster.name ~ " takes a write through its virtual IP") | yaml_dquote }}:
  pgha_patroni.serves_writes:
    - timeout: {{ pgha.vip.startup_timeout | json }}
    - require:
      - sls: pgha.vip.service
