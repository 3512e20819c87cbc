{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
include:
  - pgha.packages

The group of pgBackRest is there:
  group.present:
    - name: pgbackrest
    - system: True

The user of pgBackRest is there:
  user.present:
    - name: pgbackrest
    - gid: pgbackrest
    - system: True
    - home: /nonexistent
    - createhome: False
    - shell: /usr/sbin/nologin
    - require:
      - group: The group of pgBackRest is there

The libraries of pgBackRest are there:
  pkg.installed:
    - pkgs: {{ pgha.backup.packages | json }}

{{ released_binary("pgbackrest", pgha.backup) }}

{% for path in salt["pgha_repository.directories"]() %}
{{ (path ~ " is a repository") | yaml_dquote }}:
  pgha_repository.directory:
    - name: {{ path | yaml_dquote }}
    - require:
      - user: The user of pgBackRest is there

{% endfor %}
