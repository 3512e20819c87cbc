# config.json, checked by `consul validate` before it replaces the old one; a running agent reads it at once.
include:
  - pgha.consul.install

Consul is configured as the pillar says:
  pgha_consul.configured:
    - require:
      - sls: pgha.consul.install
