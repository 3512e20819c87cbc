{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% if pgha.backup.repositories %}
include:
  - pgha.postgres.install

The libraries of pgBackRest are there:
  pkg.installed:
    - pkgs: {{ pgha.backup.packages | json }}

{{ released_binary("pgbackrest", pgha.backup) }}

{# Of the server's user, who runs pgBackRest. #}
Files on their way to the repositories have a place:
  file.directory:
    - names:
      - /var/spool/pgbackrest
      - /var/spool/pgbackrest/lock
    - user: {{ pgha.postgres.user | yaml_dquote }}
    - group: {{ pgha.postgres.group | yaml_dquote }}
    - mode: '0750'
    - require:
      - sls: pgha.postgres.install
{% endif %}
