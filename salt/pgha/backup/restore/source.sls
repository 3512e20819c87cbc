{# On the member that gets the data of another cluster: what reads the backups of that one. The role of the host takes
   it away again, as this cluster has no repository. #}
{% set pgha = salt["pgha.settings"]() %}
{% set source = salt["pgha_copy.source"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% if source %}
The libraries of pgBackRest are there:
  pkg.installed:
    - pkgs: {{ source.backup.packages | json }}

{{ released_binary("pgbackrest", source.backup) }}

The directory of pgBackRest's configuration is root's:
  file.directory:
    - name: /etc/pgbackrest
    - user: root
    - group: root
    - mode: '0755'

Files on their way from the repositories have a place:
  file.directory:
    - names:
      - /var/spool/pgbackrest
      - /var/spool/pgbackrest/lock
    - user: {{ pgha.postgres.user | yaml_dquote }}
    - group: {{ pgha.postgres.group | yaml_dquote }}
    - mode: '0750'

{{ ("The backups of " ~ source.name ~ " can be read here") | yaml_dquote }}:
  pgha_restore.source_known:
    - require:
      - pkg: The libraries of pgBackRest are there
      - pgha_release: {{ ("pgbackrest " ~ source.backup.version ~ " is the one in use") | yaml_dquote }}
      - file: The directory of pgBackRest's configuration is root's
      - file: Files on their way from the repositories have a place
{% else %}
The backups are the cluster's own:
  test.nop: []
{% endif %}
