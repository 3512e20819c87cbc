{# On the member that gets the data of another cluster: what reads the backups of that one. The role of the host takes
   it away again, as this cluster has no repository. #}
{% set pgha = salt["pgha.settings"]() %}
{% set source = salt["pgha_copy.source"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% from "pgha/backup/parts.jinja" import configuration_directory, spool %}
{% if source %}
include:
  - pgha.packages

The libraries of pgBackRest are there:
  pkg.installed:
    - pkgs: {{ source.backup.packages | json }}

{{ released_binary("pgbackrest", source.backup) }}

{{ configuration_directory() }}

{{ spool(pgha.postgres) }}

{{ ("The backups of " ~ source.name ~ " can be read here") | yaml_dquote }}:
  pgha_restore.source_known:
    - require:
      - pkg: The libraries of pgBackRest are there
      - pgha_release: {{ ("pgbackrest " ~ source.backup.version ~ " is the one in use") | yaml_dquote }}
      - file: The directory of pgBackRest's configuration is root's
      - file: Files on their way between the repositories and this host have a place
{% else %}
The backups are the cluster's own:
  test.nop: []
{% endif %}
