# Consul on this host: a server or the agent of a database host, by the inventory. The ACLs are pgha.consul.acl.
include:
  - pgha.consul.install
  - pgha.consul.config
  - pgha.consul.service
