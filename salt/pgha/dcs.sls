{% from "pgha/macros.jinja" import not_in_the_pillar %}
{% set unknown = salt["pgha.unknown"]() %}
# A server of Consul, complete.
{% if unknown %}
{{ not_in_the_pillar(unknown) }}
{% else %}
include:
  - pgha.notes.role
  - pgha.hosts
  - pgha.packages.updates
  - pgha.consul
  - pgha.consul.acl
  - pgha.notes.secrets
{% endif %}
