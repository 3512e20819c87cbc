{% set pgha = salt["pgha.settings"]() %}
# The last gate: a client that knows nothing but the address of the cluster can write. That is its virtual IP, or the
# leader's own where it has none. It leaves nothing behind.
include:
  - pgha.vip

{{ (pgha.cluster.name ~ " takes a write at the address of its clients") | yaml_dquote }}:
  pgha_patroni.serves_writes:
    - timeout: {{ pgha.vip.startup_timeout | json }}
    - require:
      - sls: pgha.vip.service
