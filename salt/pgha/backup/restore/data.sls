{% set pgha = salt["pgha.settings"]() %}
# On the member that is restored, while no other one runs.
{% set path = pgha.postgres.data_dir %}
include:
  - pgha.backup.restore.source

{{ (path ~ " is the server's") | yaml_dquote }}:
  pgha_postgres.data_directory_made:
    - name: {{ path | yaml_dquote }}

The data are as they were:
  pgha_restore.restored:
    - note: {{ pillar.get("pgha_run", {}).get("restore", {}) | json }}
    - require:
      - sls: pgha.backup.restore.source
      - pgha_postgres: {{ (path ~ " is the server's") | yaml_dquote }}

{# One that came back meanwhile would lead with the data of now. #}
No member runs that is left out:
  pgha_restore.alone:
    - require:
      - pgha_restore: The data are as they were

Patroni has forgotten the time between:
  pgha_restore.forgotten:
    - require:
      - pgha_restore: No member runs that is left out
