{% from "pgha/macros.jinja" import not_in_the_pillar %}
{% set unknown = salt["pgha.unknown"]() %}
# A database host, complete.
{% if unknown %}
{{ not_in_the_pillar(unknown) }}
{% else %}
include:
  - pgha.notes.role
  - pgha.stages.packages
  - pgha.postgres
  - pgha.consul
  - pgha.patroni
  - pgha.guard
  - pgha.vip
  - pgha.patroni.writes
  - pgha.backup
  - pgha.notes.secrets
{% endif %}
