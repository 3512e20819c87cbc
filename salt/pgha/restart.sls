{#- The rolling restart: salt-run state.orchestrate pgha.restart

    The main job never restarts what runs. This one restarts what waits for it and nothing else, one host after another;
    each waits until the others can do without it and until it is back. Interrupted anywhere, it is run again. -#}
{%- if opts.get("__role") != "master" %}
  {{- raise("pgha.restart is an orchestration: run it on the master with salt-run state.orchestrate pgha.restart") }}
{%- endif %}
{%- do salt["pgha.lock"]() %}

{%- for turn in salt["pgha_restart.order"]() %}

{{ (loop.index ~ " " ~ turn.host ~ " runs what is installed and configured (" ~ turn.what ~ ")") | yaml_dquote }}:
  salt.state:
    - tgt: {{ [turn.host] | json }}
    - tgt_type: list
    - sls: {{ turn.sls | json }}
    - queue: True
    # Seconds until Salt asks whether a silent host still works.
    - timeout: 300
    # What has gone wrong on one host is not to happen on the next one.
    - failhard: True
{%- else %}

Nothing waits for a restart:
  test.nop: []
{%- endfor %}
