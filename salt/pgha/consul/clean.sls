{% set pgha = salt["pgha.settings"]() %}
# Stops Consul and removes what the formula installed. The data directory, the logs and the user stay: with them and the
# store of the master the same states bring back the same datacenter. What else a host needs that goes for good is in
# docs/runbooks.md, "Remove a host".

Consul does not run:
  pgha_unit.stopped:
    - unit: consul.service

Nothing of Consul is installed:
  file.absent:
    - names:
      - /etc/systemd/system/consul.service
      - {{ (pgha.consul.config_dir ~ "/config.json") | yaml_dquote }}
      - {{ (pgha.consul.config_dir ~ "/acl-bootstrap.json") | yaml_dquote }}
      - /etc/profile.d/pgha-consul.sh
      - /root/.consul-token
      - /etc/pgha/tls/consul.pem
      - /run/pgha/consul.restart-pending
      - /run/pgha/consul.started-with
      - /run/pgha/consul.reload-owed
      - /run/pgha/consul.authorities-unread
    - require:
      - pgha_unit: Consul does not run

# Not the whole directory: HashiCorp's package has its data there.
No version of Consul is unpacked:
  pgha_clean.release:
    - path: /opt/consul
    - program: consul
    - require:
      - pgha_unit: Consul does not run

systemd has forgotten Consul:
  pgha_unit.read:
    - unit: consul.service
    - require:
      - file: Nothing of Consul is installed
