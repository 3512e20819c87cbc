{# Directories and the virtual environment, which is root's. The server's packages made the user of the directories. #}
{% set pgha = salt["pgha.settings"]() %}
{% set patroni, postgres = pgha.patroni, pgha.postgres %}
include:
  - pgha.postgres.install

{% set ways = "The ways to " ~ postgres.data_dir ~ " and Patroni's directories are open" %}

{# Of a disk that is not mounted the place is empty, and all that follows would make a copy on another one. #}
{% set kept = "The data of " ~ pgha.cluster.name ~ " are not missing here" %}
{{ kept | yaml_dquote }}:
  pgha_member.data_kept: []

{# Made when they are missing; a mount point, say, keeps its owner and mode. #}
{{ ways | yaml_dquote }}:
  pgha_passage.made:
    - paths:
{% for path in (patroni.log_dir, patroni.config_dir, patroni.venv, postgres.data_dir) %}
      - {{ (path.rpartition("/")[0] or "/") | yaml_dquote }}
{% endfor %}
    - require:
      - pgha_member: {{ kept | yaml_dquote }}

{{ (patroni.log_dir ~ " is Patroni's") | yaml_dquote }}:
  file.directory:
    - name: {{ patroni.log_dir | yaml_dquote }}
    - user: {{ postgres.user | yaml_dquote }}
    - group: {{ postgres.group | yaml_dquote }}
    - mode: "0750"
    - require:
      - sls: pgha.postgres.install
      - pgha_passage: {{ ways | yaml_dquote }}

{# A Patroni that was started when its password file lay here goes on: it may make files, and none of root's is
   moved. #}
{{ (patroni.config_dir ~ " is root's, and " ~ postgres.group ~ " may read it") | yaml_dquote }}:
  file.directory:
    - name: {{ patroni.config_dir | yaml_dquote }}
    - user: root
    - group: {{ postgres.group | yaml_dquote }}
    - mode: {{ ("1770" if salt["pgha_patroni.makes_files_beside_configuration"]() else "0750") | yaml_dquote }}
    - require:
      - sls: pgha.postgres.install
      - pgha_passage: {{ ways | yaml_dquote }}

{{ (postgres.data_dir ~ " is the server's") | yaml_dquote }}:
  pgha_postgres.data_directory_made:
    - name: {{ postgres.data_dir | yaml_dquote }}
    - require:
      - sls: pgha.postgres.install
      - pgha_passage: {{ ways | yaml_dquote }}

{{ ("Patroni is installed in " ~ patroni.venv) | yaml_dquote }}:
  pgha_patroni.environment:
    - require:
      - sls: pgha.postgres.install

{# What a person needs who works as this user: patronictl, psql, and whom they ask. Nothing of it is in the user's home,
   where root does not write. In none of these words is a character that means something to a shell: pghalib.pillar lets
   no other pass. #}
{% set environment = [
  "# Written by Salt. For one user only: Patroni's environment, PostgreSQL's programs, and where they find"
    ~ " the cluster.",
  'if [ "$(id -un)" = "' ~ postgres.user ~ '" ]; then',
  '    . "' ~ patroni.venv ~ '/bin/activate"',
  '    export PATH="$PATH:' ~ postgres.bin_dir ~ '"',
  '    export PATRONICTL_CONFIG_FILE="' ~ patroni.config_dir ~ '/patroni.yml"',
  '    export PGHOST="' ~ postgres.socket_dir ~ '"',
  "fi",
] %}
{{ ("Login shells of " ~ postgres.user ~ " know Patroni's environment") | yaml_dquote }}:
  file.managed:
    - name: /etc/profile.d/pgha-patroni.sh
    - contents: {{ environment | json }}
    - user: root
    - group: root
    - mode: "0644"
    - makedirs: True
    - dir_mode: "0755"
    - require:
      - pgha_patroni: {{ ("Patroni is installed in " ~ patroni.venv) | yaml_dquote }}

{# Where it was before; a profile that still asks for it does without. #}
{{ (patroni.config_dir ~ "/environment.sh is gone") | yaml_dquote }}:
  file.absent:
    - name: {{ (patroni.config_dir ~ "/environment.sh") | yaml_dquote }}
    - require:
      - file: {{ ("Login shells of " ~ postgres.user ~ " know Patroni's environment") | yaml_dquote }}
