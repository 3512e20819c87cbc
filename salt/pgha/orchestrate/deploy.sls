{# The main job: salt-run state.orchestrate pgha

   Six bare hosts become a serving cluster, and stay one. Each stage is gated by the real thing (a leader in raft, a
   token that resolves, a replica that streams, a write through the virtual IP), so it can be interrupted anywhere and
   run again. Targets are the ids of the inventory: a host that is missing is named before anything is done. #}
{% from "pgha/orchestrate/common.jinja"
   import only_on_the_master, without_modules, begun, stage, summary with context %}
{% if opts.get("__role") != "master" %}
{{ only_on_the_master("pgha", "; on a minion apply pgha.dcs or pgha.db") }}
{% elif salt["pgha_master.plan"] is not defined %}
{{ without_modules() }}
{% else %}
{% set plan = salt["pgha_master.plan"]() %}
{{ begun("the main job", plan.refused) }}
{% if not plan.refused %}

Every host answers, and none is busy with an earlier run:
  pgha_jobs.finished:
    - hosts: {{ plan.hosts | json }}
    - failhard: True

Every secret is stored on the master:
  pgha_secrets.stored:
    - failhard: True

The hosts are served the pillar of now:
  pgha_jobs.pillars_fresh:
    - hosts: {{ plan.hosts | json }}
    - failhard: True

{% if plan.run.without %}
{{ (plan.run.without | join(", ") ~ ": left out of this run; run the main job again when it answers") | yaml_dquote }}:
  test.nop: []
{% endif %}

{# Never a dry run: it brings the formula's own modules to the hosts, and changes nothing else. Each host finds which
   clusters of the run its pillar lacks. #}
{% set ready = "Nothing stands in the way on any host" %}
{{ ready }}:
{{ stage(plan.hosts, ["pgha.stages.modules", "pgha.stages.preflight"],
         dict(plan.run, worked_on=plan.datacenter_of, library=salt["pgha_library.served"](saltenv)),
         timeout=15, test=False) }}

{% set settled = "The master knows which datacenters are encrypted" %}
{{ settled }}:
  pgha_secrets.settled:
    - datacenters: {{ plan.datacenters | list | json }}
    - require:
      - salt: {{ ready }}

{% set stages = [{"salt": ready}, {"pgha_secrets": settled}] %}

{% for datacenter, servers in plan.datacenters.items() %}
{% set quorum = "Consul of " ~ datacenter ~ " has its quorum and denies by default" %}
{% do stages.append({"salt": quorum}) %}

{{ quorum | yaml_dquote }}:
{{ stage(servers, ["pgha.dcs"], plan.run, [{"pgha_secrets": settled}], parallel=True) }}
{% endfor %}

{% for datacenter, keepers in plan.repositories.items() if keepers %}
{% set keeps = "The repository hosts of " ~ datacenter ~ " take backups" %}
{% do stages.append({"salt": keeps}) %}

{{ keeps | yaml_dquote }}:
{{ stage(keepers, ["pgha.repository"], plan.run, [{"pgha_secrets": settled}], parallel=True) }}
{% endfor %}

{% for cluster, hosts in plan.clusters.items() %}
{% set installed = "PostgreSQL and Patroni are installed on the hosts of " ~ cluster %}
{% do stages.append({"salt": installed}) %}

{{ installed | yaml_dquote }}:
{{ stage(hosts, ["pgha.stages.packages"], plan.run, [{"pgha_secrets": settled}], parallel=True) }}
{% endfor %}

{% set needs = {} %}
{% for cluster, datacenter in plan.datacenter_of.items() %}
{% set before = [{"salt": "Consul of " ~ datacenter ~ " has its quorum and denies by default"},
                 {"salt": "PostgreSQL and Patroni are installed on the hosts of " ~ cluster}] %}
{% do before.append({"salt": "The repository hosts of " ~ datacenter ~ " take backups"})
   if plan.repositories[datacenter] %}
{% do needs.update({cluster: before}) %}
{% endfor %}

{# Of these clusters all data are lost: one host gets those of the newest backup, and the others copy them. #}
{% for cluster in plan.run.from_backup if cluster in plan.clusters %}
{% set founded = cluster ~ " is founded with its newest backup" %}

{{ founded | yaml_dquote }}:
{{ stage(plan.clusters[cluster][:1], ["pgha.backup.restore.founded"], plan.run, needs[cluster],
         parallel=plan.clusters | length > 1) }}
{% do needs.update({cluster: [{"salt": founded}]}) %}
{% do stages.append({"salt": founded}) %}
{% endfor %}

{% for cluster, hosts in plan.clusters.items() %}
{% set serves = cluster ~ " has a leader and streaming replicas, and takes a write" %}
{% do stages.append({"salt": serves}) %}

{{ serves | yaml_dquote }}:
{{ stage(hosts, ["pgha.db"], plan.run, needs[cluster],
         parallel=plan.clusters | length > 1) }}
{% endfor %}

{% for cluster in plan.run.from_backup if cluster in plan.clusters %}
{% set ended = "The restore of " ~ cluster ~ " has ended" %}

{{ ended | yaml_dquote }}:
{{ stage(plan.clusters[cluster][:1], ["pgha.backup.restore.done"], plan.run,
         [{"salt": cluster ~ " has a leader and streaming replicas, and takes a write"}]) }}
{% do stages.append({"salt": ended}) %}
{% endfor %}

{{ summary(stages) }}
{% endif %}
{% endif %}
