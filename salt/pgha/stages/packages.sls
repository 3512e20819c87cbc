# What a database host installs while the Consul servers form their quorum: everything that needs no Consul.
include:
  - pgha.hosts
  - pgha.packages.updates
  - pgha.postgres.install
  - pgha.postgres.parameters
  - pgha.patroni.install
  - pgha.vip.install
  - pgha.guard.install
  - pgha.consul.install
