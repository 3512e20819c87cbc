{% from "pgha/macros.jinja" import not_in_the_pillar %}
{% set unknown = salt["pgha.unknown"](cleaning=True) %}
# A whole host: salt HOST state.apply pgha.clean, while the host is still in the pillar. What the formula put there is
# removed, component after component. Data, logs, packages and users stay (docs/runbooks.md).
{% if unknown %}
{{ not_in_the_pillar(unknown) }}
{% else %}
{% set pgha = salt["pgha.settings"]() %}
include:
{% if pgha.role == "db" %}
  - pgha.guard.clean
  - pgha.vip.clean
  - pgha.patroni.clean
  - pgha.backup.clean
  - pgha.postgres.clean
{% endif %}
{% if pgha.role == "repository" %}
  - pgha.repository.clean
{% else %}
  - pgha.consul.clean
{% endif %}
  - pgha.hosts.clean
  - pgha.packages.clean
  - pgha.notes.clean
{% endif %}
