{% from "pgha/vip/parts.jinja" import helper, vip_manager_absent, callback_absent %}
{{ vip_manager_absent() }}

The callback has let the virtual IP go:
  pgha_vip.callback_released:
    - name: {{ helper | yaml_dquote }}

{{ callback_absent([{"pgha_vip": "The callback has let the virtual IP go"}]) }}

vip-manager is not installed:
  file.absent:
    - names:
      - /usr/bin/vip-manager
      - /opt/vip-manager
      - /etc/vip-manager
    - require:
      - service: vip-manager is stopped, and its address with it
