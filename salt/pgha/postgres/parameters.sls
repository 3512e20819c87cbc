{# Before any member changes the configuration of all: the server of each host says whether it would start with it. #}
{% from "pgha/map.jinja" import pgha with context %}
include:
  - pgha.postgres.install

{{ ("PostgreSQL " ~ pgha.postgres.version ~ " would start on this host with the parameters that are set") | yaml_dquote }}:
  pgha_postgres.parameters_accepted:
    - require:
      - sls: pgha.postgres.install
