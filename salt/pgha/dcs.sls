# A server of Consul, complete.
include:
  - pgha.role
  - pgha.hosts
  - pgha.consul
  - pgha.consul.acl
  - pgha.secrets
