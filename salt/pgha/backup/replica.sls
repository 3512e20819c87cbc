{# A new replica can get its data from the repositories: all that this takes is there before Patroni starts. #}
{% set pgha = salt["pgha.settings"]() %}
{% if pgha.backup.repositories and pgha.backup.new_replicas %}
include:
  - pgha.backup.service
  - pgha.patroni.service

{# Once there are data, they tell whether pgBackRest has to know more of them. #}
pgBackRest can fetch data for this host:
  pgha_backup.configured:
    - name: /etc/pgbackrest/pgbackrest.conf
    - require:
      - sls: pgha.backup.install
      - file: The directory of pgBackRest's configuration is root's
      - file: The program of the backups is there
      - file: The program of the backups knows this member
    - require_in:
      - service: Patroni runs, now and after a boot
{% endif %}
