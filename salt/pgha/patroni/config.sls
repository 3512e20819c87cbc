{#- patroni.yml, checked by Patroni before it replaces the old one; a running Patroni reads it, and is not restarted. -#}
{%- from "pgha/map.jinja" import pgha with context %}
include:
  - pgha.patroni.install

Patroni is configured:
  pgha_patroni.configured:
    - name: {{ pgha.patroni.config_dir }}/patroni.yml
    - require:
      - sls: pgha.patroni.install
