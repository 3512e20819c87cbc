{% from "pgha/backup/parts.jinja" import backup_absent %}
{{ backup_absent() }}

pgBackRest is not installed:
  file.absent:
    - name: /usr/bin/pgbackrest
    - require:
      - file: Nothing of the backups' program is left

pgBackRest is not configured:
  pgha_clean.files:
    - path: /etc/pgbackrest
    - patterns: [pgbackrest.conf, ".pgbackrest.conf.*"]
    - require:
      - file: Nothing of the backups' program is left

No version of pgBackRest is unpacked:
  pgha_clean.release:
    - path: /opt/pgbackrest
    - program: pgbackrest
    - require:
      - pgha_unit: No backup runs
