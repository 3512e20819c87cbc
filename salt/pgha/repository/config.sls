include:
  - pgha.repository.install

The directory of pgBackRest's configuration is root's:
  file.directory:
    - name: /etc/pgbackrest
    - user: root
    - group: root
    - mode: '0755'

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
