{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/vip/parts.jinja" import config %}

{% if pgha.vip.manager == "vip-manager" %}
include:
  - pgha.vip.install

The directory of vip-manager's configuration is there:
  file.directory:
    - name: {{ config.rpartition("/")[0] | yaml_dquote }}
    - user: root
    - group: root
    - mode: '0755'
    - require:
      - sls: pgha.vip.install

vip-manager is told whom to follow:
  pgha_vip.configured:
    - name: {{ config | yaml_dquote }}
    - require:
      - file: The directory of vip-manager's configuration is there
{% endif %}
