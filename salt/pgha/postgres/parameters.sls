{# Before any member changes the configuration of all: the server of each host says whether it would start with it. #}
{% set pgha = salt["pgha.settings"]() %}
include:
  - pgha.postgres.install

{% set version = pgha.postgres.version %}
{% set sentence = "PostgreSQL " ~ version ~ " would start on this host with the parameters that are set" %}
{{ sentence | yaml_dquote }}:
  pgha_postgres.parameters_accepted:
    - require:
      - sls: pgha.postgres.install
