{# patroni.yml, checked by Patroni before it replaces the old one; a running Patroni reads it, and is not restarted. #}
{% from "pgha/map.jinja" import pgha with context %}
include:
  - pgha.patroni.install
{% if pgha.vip.manager == "callback" %}
  - pgha.vip.install

{# Before Patroni is told to rely on it. #}
{{ (pgha.postgres.user ~ " may move the virtual IP") | yaml_dquote }}:
  pgha_vip.callback_allowed:
    - require:
      - sls: pgha.patroni.install
      - sls: pgha.vip.install
    - require_in:
      - pgha_patroni: Patroni is configured
{% endif %}

Patroni is configured:
  pgha_patroni.configured:
    - name: {{ (pgha.patroni.config_dir ~ "/patroni.yml") | yaml_dquote }}
    - require:
      - sls: pgha.patroni.install
{% if pgha.tls.enabled %}
      - pgha_tls: PostgreSQL and Patroni have the certificate of this host

PostgreSQL and Patroni have the certificate of this host:
  pgha_tls.installed:
    - service: postgres
    - require:
      - sls: pgha.patroni.install
{% endif %}
