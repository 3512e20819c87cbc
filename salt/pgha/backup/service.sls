{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/backup/parts.jinja" import program, backup_absent %}
{% if pgha.backup.repositories %}
{% set known = "The repositories know " ~ pgha.cluster.name %}
{% set member = pgha.name ~ " leads " ~ pgha.cluster.name ~ " or streams from its leader" %}
include:
  - pgha.backup.config
  - pgha.patroni.service

{# Only data tell which edition of PostgreSQL made them. #}
pgBackRest knows the edition of the server:
  pgha_backup.configured:
    - name: /etc/pgbackrest/pgbackrest.conf
    - require:
      - sls: pgha.backup.config
      - pgha_patroni: {{ member | yaml_dquote }}

{{ known | yaml_dquote }}:
  pgha_backup.known:
    - timeout: {{ pgha.backup.startup_timeout | json }}
    - require:
      - pgha_backup: pgBackRest knows the edition of the server

{{ ("The WAL of " ~ pgha.cluster.name ~ " is archived") | yaml_dquote }}:
  pgha_backup.archiving:
    - require:
      - pgha_backup: {{ known | yaml_dquote }}

systemd has a unit that makes the backup that is due:
  pgha_unit.written:
    - unit: pgha-backup.service
    - source: salt://pgha/backup/files/pgha-backup.service.jinja
    - context:
        cluster: {{ pgha.cluster.name | json }}
        user: {{ pgha.postgres.user | json }}
        group: {{ pgha.postgres.group | json }}
        program: {{ program | yaml_dquote }}
        limits: {{ salt["pgha_backup.limits"]() | json }}
    - require:
      - file: The program of the backups is there

systemd has a timer for the backups:
  pgha_unit.written:
    - unit: pgha-backup.timer
    - source: salt://pgha/backup/files/pgha-backup.timer
    - context: {}
    - require:
      - pgha_unit: systemd has a unit that makes the backup that is due

systemd has read the unit of the backups:
  pgha_unit.read:
    - unit: pgha-backup.service
    - require:
      - pgha_unit: systemd has a timer for the backups

systemd has read the timer of the backups:
  pgha_unit.read:
    - unit: pgha-backup.timer
    - require:
      - pgha_unit: systemd has read the unit of the backups

{# Only when the archive works: a backup without its WAL is none. #}
The timer of the backups runs, and does after a boot:
  service.running:
    - name: pgha-backup.timer
    - enable: True
    - require:
      - pgha_backup: {{ ("The WAL of " ~ pgha.cluster.name ~ " is archived") | yaml_dquote }}
    - watch:
      - pgha_unit: systemd has a timer for the backups
      - pgha_unit: systemd has read the timer of the backups
{% else %}
{{ backup_absent() }}
{% endif %}
