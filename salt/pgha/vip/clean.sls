{% from "pgha/vip/parts.jinja" import config, helper, vip_manager_absent, callback_absent %}
{{ vip_manager_absent() }}

The callback has let the virtual IP go:
  pgha_vip.callback_released:
    - name: {{ helper | yaml_dquote }}

{{ callback_absent([{"pgha_vip": "The callback has let the virtual IP go"}]) }}

No version of vip-manager is unpacked:
  pgha_clean.release:
    - path: /opt/vip-manager
    - program: vip-manager
    - require:
      - pgha_unit: vip-manager is stopped, and its address with it

{% set directory, file = config.rsplit("/", 1) %}

vip-manager is not configured:
  pgha_clean.files:
    - path: {{ directory | yaml_dquote }}
    - patterns: {{ [file, "." ~ file ~ ".*"] | json }}
    - require:
      - file: Nothing of vip-manager's service and token is left
