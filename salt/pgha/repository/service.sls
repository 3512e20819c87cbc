{% set pgha = salt["pgha.settings"]() %}
include:
  - pgha.repository.config

systemd has a unit of pgBackRest:
  pgha_unit.written:
    - unit: pgha-repository.service
    - source: salt://pgha/repository/files/pgha-repository.service.jinja
    - context:
        directories: {{ salt["pgha_repository.directories"]() | json }}
        address: {{ pgha.address | yaml_dquote }}
        version: {{ pgha.backup.version | json }}
    - require:
      - sls: pgha.repository.config

systemd has read the unit of pgBackRest:
  pgha_unit.read:
    - unit: pgha-repository.service
    - require:
      - pgha_unit: systemd has a unit of pgBackRest

pgBackRest runs, now and after a boot:
  service.running:
    - name: pgha-repository
    - enable: True
    - require:
      - sls: pgha.repository.install
      - pgha_unit: systemd has read the unit of pgBackRest

{# A restart does no harm: what it interrupts is tried again, WAL at once, a backup by the next look of its leader. Who
   may work for which cluster changes more often than a program or a unit, and is read without one. #}
pgBackRest works with its program and unit of now:
  pgha_unit.current:
    - unit: pgha-repository.service
    - require:
      - service: pgBackRest runs, now and after a boot

pgBackRest has read who may work for which cluster:
  pgha_repository.configuration_read:
    - require:
      - pgha_unit: pgBackRest works with its program and unit of now

pgBackRest shows the certificate of this host:
  pgha_tls.in_use:
    - service: repository
    - require:
      - pgha_unit: pgBackRest works with its program and unit of now
