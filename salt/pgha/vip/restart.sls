{% set pgha = salt["pgha.settings"]() %}
# A turn of pgha.restart: on one member at a time, the leader last.
vip-manager runs what is installed and configured:
  pgha_vip.restarted:
    - failhard: True
{% if pgha.vip.manager == "vip-manager" %}

The virtual IP is where the leader is:
  pgha_vip.follows_leader:
    - timeout: {{ pgha.vip.startup_timeout | json }}
    - require:
      - pgha_vip: vip-manager runs what is installed and configured
{% endif %}
