{# Each week a replica restores the newest backup beside its data, reads all of it, and throws it away. #}
{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/backup/parts.jinja" import proof, timer_absent %}
{% set postgres = pgha.postgres %}
{% if pgha.backup.repositories %}
include:
  - pgha.backup.service

A proof has a directory beside the data:
  pgha_postgres.data_directory_made:
    - name: {{ (postgres.data_dir ~ ".proof") | yaml_dquote }}
    - require:
      - sls: pgha.backup.config

The program of the proofs is there:
  file.managed:
    - name: {{ proof | yaml_dquote }}
    - source: salt://pgha/backup/files/pgha-proof.py
    - user: root
    - group: root
    - mode: '0644'

systemd has a unit that proves a backup:
  pgha_unit.written:
    - unit: pgha-proof.service
    - source: salt://pgha/backup/files/pgha-proof.service.jinja
    - context:
        cluster: {{ pgha.cluster.name | json }}
        user: {{ postgres.user | json }}
        group: {{ postgres.group | json }}
        program: {{ proof | yaml_dquote }}
        limits: {{ salt["pgha_proof.limits"]() | json }}
    - require:
      - pgha_postgres: A proof has a directory beside the data
      - file: The program of the proofs is there

{% if pgha.backup.proof_day %}
systemd has a timer for the proofs:
  pgha_unit.written:
    - unit: pgha-proof.timer
    - source: salt://pgha/backup/files/pgha-proof.timer.jinja
    - context:
        day: {{ pgha.backup.proof_day | capitalize | json }}
    - require:
      - pgha_unit: systemd has a unit that proves a backup

systemd has read the unit of the proofs:
  pgha_unit.read:
    - unit: pgha-proof.service
    - require:
      - pgha_unit: systemd has a timer for the proofs

systemd has read the timer of the proofs:
  pgha_unit.read:
    - unit: pgha-proof.timer
    - require:
      - pgha_unit: systemd has read the unit of the proofs

The timer of the proofs runs, and does after a boot:
  service.running:
    - name: pgha-proof.timer
    - enable: True
    - watch:
      - pgha_unit: systemd has a timer for the proofs
      - pgha_unit: systemd has read the timer of the proofs
{% else %}
{{ timer_absent() }}

systemd has read the unit of the proofs:
  pgha_unit.read:
    - unit: pgha-proof.service
    - require:
      - pgha_unit: systemd has a unit that proves a backup
{% endif %}
{% endif %}
