{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% from "pgha/backup/parts.jinja" import spool %}
{% if pgha.backup.repositories %}
include:
  - pgha.postgres.install

The libraries of pgBackRest are there:
  pkg.installed:
    - pkgs: {{ pgha.backup.packages | json }}

{{ released_binary("pgbackrest", pgha.backup) }}

{{ spool(pgha.postgres) }}
    - require:
      - sls: pgha.postgres.install
{% endif %}
