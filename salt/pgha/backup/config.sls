{# Before Patroni starts, since this host may get its data from a backup. #}
{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/backup/parts.jinja" import program, config, configuration_directory %}
{% if pgha.backup.repositories %}
include:
  - pgha.backup.install

{{ configuration_directory() }}

pgBackRest is configured:
  pgha_backup.configured:
    - name: /etc/pgbackrest/pgbackrest.conf
    - require:
      - sls: pgha.backup.install
      - file: The directory of pgBackRest's configuration is root's

The program of the backups is there:
  file.managed:
    - name: {{ program | yaml_dquote }}
    - source: salt://pgha/backup/files/pgha-backup.py
    - user: root
    - group: root
    - mode: '0644'

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
