# A server of Consul, complete.
include:
  - pgha.notes.role
  - pgha.hosts
  - pgha.consul
  - pgha.consul.acl
  - pgha.notes.secrets
