{# The rolling restart: salt-run state.orchestrate pgha.restart

   The main job never restarts what runs. This one restarts what waits for it and nothing else, one host after another;
   each waits until the others can do without it and until it is back. Interrupted anywhere, it is run again. #}
{% from "pgha/orchestrate/common.jinja"
   import only_on_the_master, without_modules, begun, stage, summary with context %}
{% if opts.get("__role") != "master" %}
{{ only_on_the_master("pgha.restart", "") }}
{% elif salt["pgha_master.turns"] is not defined %}
{{ without_modules() }}
{% else %}
{% set work = salt["pgha_master.turns"]() %}
{{ begun("the rolling restart", work.refused) }}
{% if not work.refused %}
{% set turns = [] %}

{% for turn in work.turns %}
{% set name = loop.index ~ " " ~ turn.host ~ " runs what is installed and configured (" ~ turn.what ~ ")" %}

{{ name | yaml_dquote }}:
{{ stage([turn.host], turn.sls, work.run, turns[-1:]) }}
{% do turns.append({"salt": name}) %}
{% else %}

Nothing waits for a restart:
  test.nop: []
{% endfor %}

{{ summary(turns) if turns }}
{% endif %}
{% endif %}
