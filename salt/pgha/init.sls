{#- The main job: salt-run state.orchestrate pgha

    Six bare hosts become a serving cluster, and stay one. Each stage is gated by the real thing (a leader in raft, a token
    that resolves, a replica that streams, a write through the virtual IP), so it can be interrupted anywhere and run again.
    Targets are the ids of the inventory: a host that is missing fails its stage by name. -#}
{%- if opts.get("__role") != "master" %}
  {{- raise("pgha is the orchestration: run it on the master with salt-run state.orchestrate pgha;"
            " on a minion apply pgha.dcs or pgha.db") }}
{%- endif %}
{%- set plan = salt["pgha.plan"]() %}
{%- do salt["pgha.lock"]() %}

{%- macro stage(hosts, sls, requires, parallel=False) %}
  salt.state:
    - tgt: {{ hosts | json }}
    - tgt_type: list
    - sls: {{ sls | json }}
    - queue: True
    # A host that is busy with its own stage may be late to say so; it is not gone for that.
    - timeout: 300
    {%- if parallel %}
    - parallel: True
    {%- endif %}
    {%- if requires %}
    - require: {{ requires | json }}
    {%- endif %}
{%- endmacro %}

Every secret is stored on the master:
  pgha_secrets.stored: []

Nothing stands in the way on any host:
  {{- stage(plan.hosts, ["pgha.modules", "pgha.preflight"], [{"pgha_secrets": "Every secret is stored on the master"}]) }}

{%- for datacenter, servers in plan.datacenters.items() %}

Consul of {{ datacenter }} has its quorum and denies by default:
  {{- stage(servers, ["pgha.dcs"], [{"salt": "Nothing stands in the way on any host"}], parallel=True) }}
{%- endfor %}

{%- for cluster, hosts in plan.clusters.items() %}

PostgreSQL and Patroni are installed on the hosts of {{ cluster }}:
  {{- stage(hosts, ["pgha.packages"], [{"salt": "Nothing stands in the way on any host"}], parallel=True) }}
{%- endfor %}

{%- for cluster, hosts in plan.clusters.items() %}

{{ cluster }} has a leader, streaming replicas, and its virtual IP takes a write:
  {{- stage(hosts, ["pgha.db"],
            [{"salt": "Consul of " ~ plan.datacenter_of[cluster] ~ " has its quorum and denies by default"},
             {"salt": "PostgreSQL and Patroni are installed on the hosts of " ~ cluster}], parallel=plan.clusters | length > 1) }}
{%- endfor %}
