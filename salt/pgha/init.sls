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

{#- timeout: seconds until Salt asks whether a silent host still works. The first stage is short and meets every host, so a
    missing one is named soon; later a host that is busy with its own stage must not look like a missing one. -#}
{%- macro stage(hosts, sls, requires, parallel=False, timeout=300) %}
  salt.state:
    - tgt: {{ hosts | json }}
    - tgt_type: list
    - sls: {{ sls | json }}
    - queue: True
    - timeout: {{ timeout }}
    {%- if parallel %}
    - parallel: True
    {%- endif %}
    {%- if requires %}
    - require: {{ requires | json }}
    {%- endif %}
{%- endmacro %}

Every secret is stored on the master:
  pgha_secrets.stored: []

No host is busy with an earlier run:
  pgha_jobs.finished:
    - hosts: {{ plan.hosts | json }}

Nothing stands in the way on any host:
  {{- stage(plan.hosts, ["pgha.modules", "pgha.preflight"],
            [{"pgha_secrets": "Every secret is stored on the master"}, {"pgha_jobs": "No host is busy with an earlier run"}],
            timeout=15) }}
    {#- The hosts look for each other, and what the command line adds is in no minion's pillar. #}
    - pillar: {{ {"pgha": {"only": plan.clusters | list, "new_secrets": plan.new_secrets}} | json }}

{%- for datacenter, servers in plan.datacenters.items() %}

{{ ("Consul of " ~ datacenter ~ " has its quorum and denies by default") | yaml_dquote }}:
  {{- stage(servers, ["pgha.dcs"], [{"salt": "Nothing stands in the way on any host"}], parallel=True) }}
{%- endfor %}

{%- for cluster, hosts in plan.clusters.items() %}

{{ ("PostgreSQL and Patroni are installed on the hosts of " ~ cluster) | yaml_dquote }}:
  {{- stage(hosts, ["pgha.packages"], [{"salt": "Nothing stands in the way on any host"}], parallel=True) }}
{%- endfor %}

{%- for cluster, hosts in plan.clusters.items() %}

{{ (cluster ~ " has a leader, streaming replicas, and its virtual IP takes a write") | yaml_dquote }}:
  {{- stage(hosts, ["pgha.db"],
            [{"salt": "Consul of " ~ plan.datacenter_of[cluster] ~ " has its quorum and denies by default"},
             {"salt": "PostgreSQL and Patroni are installed on the hosts of " ~ cluster}], parallel=plan.clusters | length > 1) }}
{%- endfor %}
