# The ACLs of a datacenter, on its servers (2.3 and 2.4 of the procedure): apply it to all of them at once. The first
# server of the inventory bootstraps and registers, the others wait until they see the result.
include:
  - pgha.consul.service

The servers of Consul have a quorum and a leader:
  pgha_consul.quorum_formed:
    - require:
      - sls: pgha.consul.service

The management token of the master works:
  pgha_consul.acl_bootstrapped:
    - require:
      - pgha_consul: The servers of Consul have a quorum and a leader

Policies and tokens are registered:
  pgha_consul.policies_and_tokens:
    - require:
      - pgha_consul: The management token of the master works

Autopilot works with the settings of the pillar:
  pgha_consul_registrar.autopilot_configured:
    - require:
      - pgha_consul: The management token of the master works

This server knows all tokens:
  pgha_consul.tokens_visible:
    - require:
      - pgha_consul: Policies and tokens are registered

This server has its own agent token:
  pgha_consul.agent_token_set:
    - require:
      - pgha_consul: This server knows all tokens

root can use consul on this host:
  pgha_consul.admin_access:
    - require:
      - pgha_consul: The management token of the master works
