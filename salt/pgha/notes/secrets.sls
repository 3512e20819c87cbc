{% set pgha = salt["pgha.settings"]() %}
# A store of the master that is not the one this host works with is found by this note, before anything is touched.
include:
  - pgha.consul.config
{% if pgha.role == "db" %}
  - pgha.patroni.config
{% endif %}

This host works with the secrets of the master's store:
  pgha_secrets.in_use:
    - require:
      - sls: pgha.consul.config
{% if pgha.role == "db" %}
      - sls: pgha.patroni.config
{% endif %}
