{# On the host that founds a cluster of which nothing but the backups is left: Patroni will find their newest data. #}
{% set pgha = salt["pgha.settings"]() %}
{% if pgha.backup.repositories %}
include:
  - pgha.consul.service
  - pgha.patroni.config
  - pgha.backup.config

{{ (pgha.cluster.name ~ " is founded with the newest data of its repositories") | yaml_dquote }}:
  pgha_restore.founded:
    - require:
      - sls: pgha.consul.service
      - sls: pgha.patroni.config
      - sls: pgha.backup.config
{% endif %}
