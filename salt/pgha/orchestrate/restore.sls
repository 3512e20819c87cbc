{# A cluster as it was at some moment: salt-run state.orchestrate pgha.restore pillar='{"pgha_restore": {…}}'

   The data of now are kept aside on every host. One host gets the data of then, recovers, and leads; the others are
   copied from it one after another; the virtual IP comes last. Each step looks whether it is done already, and the
   master notes what was begun: interrupted anywhere, it is run again with the same words. #}
{% from "pgha/orchestrate/common.jinja"
   import only_on_the_master, without_modules, begun, stage, summary with context %}
{% if opts.get("__role") != "master" %}
{{ only_on_the_master("pgha.restore", "") }}
{% elif salt["pgha_master_restore.plan"] is not defined %}
{{ without_modules() }}
{% else %}
{% set plan = salt["pgha_master_restore.plan"]() %}
{{ begun("a restore" if plan.refused else "the restore of " ~ plan.note.cluster, plan.refused) }}
{% if not plan.refused %}
{% set note, stages = plan.note, [] %}

Every host answers, and none is busy with an earlier run:
  pgha_jobs.finished:
    - hosts: {{ (plan.hosts + plan.keepers) | json }}
    - failhard: True

The master has noted that {{ note.cluster }} is restored:
  pgha_restore.noted:
    - note: {{ note | json }}
    - failhard: True

The hosts are served the pillar of now:
  pgha_jobs.pillars_fresh:
    - hosts: {{ (plan.hosts + plan.keepers) | json }}
    - failhard: True

{# Never a dry run: it changes nothing but modules. #}
{% set ready = "The hosts have the modules of now" %}
{{ ready }}:
{{ stage(plan.hosts + plan.flushing + plan.keepers, ["pgha.stages.modules"],
         dict(plan.run, library=salt["pgha_library.served"](saltenv)), test=False) }}
{% do stages.append({"salt": ready}) %}

{# What the cluster that is copied has committed a moment ago is not in its archive yet. Two may say that they lead; on
   one that does not any more, nothing is done. #}
{% if plan.flushing %}
{% set flushed = "What " ~ note.source ~ " has committed until now is in its archive" %}
{{ flushed | yaml_dquote }}:
{{ stage(plan.flushing, ["pgha.backup.restore.flushed"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": flushed}) %}
{% endif %}

{% if note.get("source") and plan.keepers %}
{% set open = note.host ~ " may read the backups of " ~ note.source ~ " on the repository hosts" %}
{{ open | yaml_dquote }}:
{{ stage(plan.keepers, ["pgha.repository"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": open}) %}
{% endif %}

{# The leader last: nobody can take over from it then. Nothing of this where clients work with the restored data. #}
{% for hosts in (plan.others, [note.host]) if hosts and not plan.served %}
{% set stopped = "Nothing of " ~ note.cluster ~ " runs on " ~ hosts | join(", ") %}
{{ stopped | yaml_dquote }}:
{{ stage(hosts, ["pgha.backup.restore.stopped"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": stopped}) %}

{% endfor %}
{% if not plan.served %}
{% set kept = "kept aside" if note.get("keep", True) else "removed" %}
{% set aside = "The data of now are " ~ kept ~ " on every host of " ~ note.cluster %}
{{ aside | yaml_dquote }}:
{{ stage(plan.hosts, ["pgha.backup.restore.aside"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": aside}) %}

{% set restored = note.host ~ " has the data of " ~ note.cluster ~ " as they were" %}
{{ restored | yaml_dquote }}:
{{ stage([note.host], ["pgha.backup.restore.data"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": restored}) %}
{% endif %}

{% for host in [plan.leader] + plan.others %}
{% set runs = host ~ " runs with the data as they were" %}
{{ runs | yaml_dquote }}:
{{ stage([host], ["pgha.patroni.service"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": runs}) %}

{% endfor %}
{% set serves = note.cluster ~ " takes writes at the address of its clients" %}
{{ serves | yaml_dquote }}:
{{ stage(plan.hosts, ["pgha.db"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": serves}) %}

{# What is left to do needs no host stopped again. #}
The restore has ended:
  pgha_restore.ended:
    - cluster: {{ note.cluster | json }}
    - require: {{ stages[-1:] | json }}
{% do stages.append({"pgha_restore": "The restore has ended"}) %}

{% set done = "The hosts of " ~ note.cluster ~ " have ended it" %}
{{ done | yaml_dquote }}:
{{ stage(plan.hosts, ["pgha.backup.restore.done"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": done}) %}

{% if plan.keepers %}
The repository hosts are served the pillar of afterwards:
  pgha_jobs.pillars_fresh:
    - hosts: {{ plan.keepers | json }}
    - require: {{ stages[-1:] | json }}
{% do stages.append({"pgha_jobs": "The repository hosts are served the pillar of afterwards"}) %}

{% set closed = "The repository hosts serve each cluster's own hosts alone" %}
{{ closed | yaml_dquote }}:
{{ stage(plan.keepers, ["pgha.repository"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": closed}) %}
{% endif %}

{% if plan.backed %}
{% set backed = note.cluster ~ " has its first backup after the restore" %}
{{ backed | yaml_dquote }}:
{{ stage([plan.leader], ["pgha.backup.restore.backup"], plan.run, stages[-1:]) }}
{% do stages.append({"salt": backed}) %}
{% endif %}

{{ summary(stages) }}
{% endif %}
{% endif %}
