{% from "pgha/backup/parts.jinja" import configuration_directory %}
include:
  - pgha.repository.install

{{ configuration_directory() }}

pgBackRest knows who may work for which cluster:
  pgha_repository.configured:
    - name: /etc/pgbackrest/pgbackrest.conf
    - require:
      - sls: pgha.repository.install
      - file: The directory of pgBackRest's configuration is root's

pgBackRest has the certificate of this host:
  pgha_tls.installed:
    - service: repository
    - require:
      - sls: pgha.repository.install
