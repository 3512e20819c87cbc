{# Patroni runs: the first host of the inventory founds the cluster, the others join it. #}
{% set pgha = salt["pgha.settings"]() %}
{% set patroni, postgres, cluster = pgha.patroni, pgha.postgres, pgha.cluster %}
include:
  - pgha.patroni.config
{% if pgha.backup.repositories %}
  - pgha.backup.config
{% endif %}

{% set founded = cluster.name ~ " has been founded by " ~ cluster.founder.name %}
{% set streams = pgha.name ~ " leads " ~ cluster.name ~ " or streams from its leader" %}

systemd has a unit of Patroni:
  pgha_unit.written:
    - unit: patroni.service
    - source: salt://pgha/patroni/files/patroni.service.jinja
    - context:
        patroni: {{ patroni | json }}
        postgres: {{ postgres | json }}
        unit: /etc/systemd/system/patroni.service
        mounts: {{ salt["pgha_member.mounts"](postgres.data_dir) | json }}
    - require:
      - sls: pgha.patroni.config

{# A change of the unit counts at the next start; nothing is restarted for it. #}
systemd has read the unit of Patroni:
  pgha_unit.read:
    - unit: patroni.service
    - require:
      - pgha_unit: systemd has a unit of Patroni

{{ (postgres.data_dir ~ " holds no one else's data") | yaml_dquote }}:
  pgha_patroni.data_directory_ours:
    - require:
      - sls: pgha.patroni.config

{{ founded | yaml_dquote }}:
  pgha_patroni.leader_elected:
    - timeout: {{ patroni.startup_timeout | json }}
    - first: {{ (cluster.founder.id == pgha.id) | json }}
    - require:
      - pgha_patroni: {{ (postgres.data_dir ~ " holds no one else's data") | yaml_dquote }}

Patroni runs, now and after a boot:
  service.running:
    - name: patroni
    - enable: True
    - require:
      - pgha_unit: systemd has read the unit of Patroni
      - pgha_patroni: {{ founded | yaml_dquote }}
{% if pgha.backup.repositories %}
      - sls: pgha.backup.config
{% endif %}

{% set accepted = "No port of PostgreSQL and Patroni shows a certificate that has ended" %}
{% if pgha.tls.enabled %}

{# Before anything waits for an answer of Patroni, which would not come. #}
{{ accepted | yaml_dquote }}:
  pgha_tls.accepted:
    - service: postgres
    - require:
      - service: Patroni runs, now and after a boot
{% endif %}

{% set startable = "No server of " ~ cluster.name ~ " waits for what is declared to start" %}

{# A parameter that keeps all servers from starting is corrected here: below, the servers are waited for. #}
{{ startable | yaml_dquote }}:
  pgha_patroni.dcs_configured:
    - repair: True
    - require:
      - service: Patroni runs, now and after a boot
{% if pgha.tls.enabled %}
      - pgha_tls: {{ accepted | yaml_dquote }}
{% endif %}

{{ streams | yaml_dquote }}:
  pgha_patroni.streaming:
    - timeout: {{ patroni.startup_timeout | json }}
    - require:
      - pgha_patroni: {{ startable | yaml_dquote }}

{{ ("This host has noted where its data of " ~ cluster.name ~ " are") | yaml_dquote }}:
  pgha_member.noted:
    - timeout: {{ patroni.startup_timeout | json }}
    - require:
      - pgha_patroni: {{ streams | yaml_dquote }}

{% if pgha.tls.enabled %}

PostgreSQL and Patroni show the certificate of this host:
  pgha_tls.in_use:
    - service: postgres
    - require:
      - pgha_patroni: {{ streams | yaml_dquote }}
{% endif %}

{{ ("The dynamic configuration of " ~ cluster.name ~ " is as declared") | yaml_dquote }}:
  pgha_patroni.dcs_configured:
    - require:
      - pgha_patroni: {{ streams | yaml_dquote }}

{# After this host follows: Patroni passes over what changes while its server starts. #}
{{ ("PostgreSQL of this host has the parameters of " ~ cluster.name) | yaml_dquote }}:
  pgha_postgres.parameters_written:
    - require:
      - pgha_patroni: {{ ("The dynamic configuration of " ~ cluster.name ~ " is as declared") | yaml_dquote }}
