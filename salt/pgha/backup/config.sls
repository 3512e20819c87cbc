{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/backup/parts.jinja" import config %}
{% if pgha.backup.repositories %}
{% set member = pgha.name ~ " leads " ~ pgha.cluster.name ~ " or streams from its leader" %}
include:
  - pgha.backup.install
  - pgha.patroni.service

The directory of pgBackRest's configuration is root's:
  file.directory:
    - name: /etc/pgbackrest
    - user: root
    - group: root
    - mode: '0755'

{# Only data tell which edition of PostgreSQL made them. #}
pgBackRest is configured:
  pgha_backup.configured:
    - name: /etc/pgbackrest/pgbackrest.conf
    - require:
      - sls: pgha.backup.install
      - file: The directory of pgBackRest's configuration is root's
      - pgha_patroni: {{ member | yaml_dquote }}

The program of the backups knows this member:
  file.serialize:
    - name: {{ config | yaml_dquote }}
    - dataset: {{ salt["pgha_backup.config"]() | json }}
    - serializer: json
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'
{% endif %}
