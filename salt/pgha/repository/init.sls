{% from "pgha/macros.jinja" import not_in_the_pillar %}
{% set unknown = salt["pgha.unknown"]() %}
# A repository host, complete: it keeps the backups that the members of the clusters make there (docs/backup.md).
{% if unknown %}
{{ not_in_the_pillar(unknown) }}
{% else %}
include:
  - pgha.notes.role
  - pgha.hosts
  - pgha.packages.updates
  - pgha.repository.install
  - pgha.repository.config
  - pgha.repository.service
{% endif %}
