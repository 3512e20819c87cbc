{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/vip/parts.jinja" import program, config, unit, helper, vip_manager_absent, callback_absent %}

{% if pgha.vip.manager == "vip-manager" %}
include:
  - pgha.vip.config

The service of vip-manager is defined:
  pgha_unit.written:
    - unit: vip-manager.service
    - source: salt://pgha/vip/files/vip-manager.service.j2
    - context:
        vip: {{ pgha.cluster.vip | json }}
        cluster: {{ pgha.cluster.name | json }}
        program: {{ program | yaml_dquote }}
        config: {{ config | yaml_dquote }}
        unit: {{ unit | yaml_dquote }}
        authorities: {{ salt["pgha_tls.authorities"]() | json }}
    - require:
      - sls: pgha.vip.config

systemd has read the unit of vip-manager:
  pgha_unit.read:
    - unit: vip-manager.service
    - require:
      - pgha_unit: The service of vip-manager is defined

{# Not watched: a restart takes the address away for a moment, so it is a run of its own (pgha_vip.restarted). #}
vip-manager runs, and does after a boot:
  service.running:
    - name: vip-manager.service
    - enable: True
    - require:
      - pgha_unit: systemd has read the unit of vip-manager

The virtual IP is where the leader is:
  pgha_vip.follows_leader:
    - timeout: {{ pgha.vip.startup_timeout | json }}
    - require:
      - service: vip-manager runs, and does after a boot

{# The helper of a callback that is replaced by vip-manager, with another address at the same time. #}
No former virtual IP of the callback is here:
  pgha_vip.former_released:
    - require:
      - pgha_vip: The virtual IP is where the leader is

{{ callback_absent([{"pgha_vip": "No former virtual IP of the callback is here"}]) }}

{% elif pgha.vip.manager == "callback" %}
include:
  - pgha.vip.install

{{ vip_manager_absent() }}

The virtual IP is where the leader is:
  pgha_vip.held_by_leader:
    - timeout: {{ pgha.vip.startup_timeout }}
    - require:
      - sls: pgha.vip.install
      - pgha_unit: vip-manager is stopped, and its address with it

{% else %}
{{ vip_manager_absent() }}

The callback has let the virtual IP go:
  pgha_vip.callback_released:
    - name: {{ helper | yaml_dquote }}

{{ callback_absent([{"pgha_vip": "The callback has let the virtual IP go"}]) }}
{% endif %}
