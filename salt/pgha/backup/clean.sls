{% from "pgha/backup/parts.jinja" import backup_absent %}
{{ backup_absent() }}

No version of pgBackRest is unpacked:
  pgha_clean.release:
    - path: /opt/pgbackrest
    - program: pgbackrest
    - require:
      - pgha_unit: No backup runs
