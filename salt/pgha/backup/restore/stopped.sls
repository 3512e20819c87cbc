{% set pgha = salt["pgha.settings"]() %}
{# Neither now nor after a boot: half of the data may be there. The role of the host switches all of it on again. #}
{% set units = [
  "pgha-backup.timer", "pgha-backup.service", "pgha-proof.timer", "pgha-proof.service", "vip-manager.service",
  "pgha-guard.service",
] %}
No member runs that is left out:
  pgha_restore.alone: []

What was committed is in the archive:
  pgha_restore.flushed:
    - require:
      - pgha_restore: No member runs that is left out

{% for unit in units %}
{{ (unit ~ " does not run") | yaml_dquote }}:
  pgha_unit.stopped:
    - unit: {{ unit }}
    - require:
      - pgha_restore: What was committed is in the archive
    - require_in:
      - pgha_unit: Patroni does not run, and PostgreSQL with it

{% endfor %}
Patroni does not run, and PostgreSQL with it:
  pgha_unit.stopped:
    - unit: patroni.service
