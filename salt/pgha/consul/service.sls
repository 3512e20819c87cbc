{% set pgha = salt["pgha.settings"]() %}
include:
  - pgha.consul.config

systemd has a unit of Consul:
  pgha_unit.written:
    - unit: consul.service
    - source: salt://pgha/consul/files/consul.service.jinja
    - context:
        consul: {{ pgha.consul | json }}
    - require:
      - sls: pgha.consul.config

# A change of the unit counts at the next start; nothing is restarted for it.
systemd has read the unit of Consul:
  pgha_unit.read:
    - unit: consul.service
    - require:
      - pgha_unit: systemd has a unit of Consul

# No watch: a change of the files never restarts Consul. What needs a restart is named by `pgha_consul.restart_pending`.
Consul runs, now and after a reboot:
  service.running:
    - name: consul
    - enable: True
    - require:
      - pgha_unit: systemd has read the unit of Consul
{% if pgha.tls.enabled %}

Consul shows the certificate of this host:
  pgha_tls.in_use:
    - service: consul
    - require:
      - service: Consul runs, now and after a reboot
{% endif %}
{% if pgha.role == "db" %}

{{ ("This host is a node of the datacenter " ~ pgha.datacenter.name) | yaml_dquote }}:
  pgha_consul.joined:
    - require:
      - service: Consul runs, now and after a reboot
{% endif %}
