{#- Directories and the virtual environment. The server's packages made the user that owns them. -#}
{%- from "pgha/map.jinja" import pgha with context %}
{%- set patroni, postgres = pgha.patroni, pgha.postgres %}
include:
  - pgha.postgres.install

{%- for path, mode in ((patroni.venv, "0755"), (patroni.config_dir, "0700"), (patroni.log_dir, "0750")) %}

{{ (path ~ " is Patroni's") | yaml_dquote }}:
  file.directory:
    - name: {{ path | yaml_dquote }}
    - user: {{ postgres.user | yaml_dquote }}
    - group: {{ postgres.group | yaml_dquote }}
    - mode: {{ mode | yaml_dquote }}
    - makedirs: True
    - require:
      - sls: pgha.postgres.install
{%- endfor %}

{%- set above = postgres.data_dir.rpartition("/")[0] or "/" %}

{#- Made when it is missing; a mount point, say, keeps its owner and mode. #}
{{ (above ~ " has room for the data directory") | yaml_dquote }}:
  file.directory:
    - name: {{ above | yaml_dquote }}
    - makedirs: True

{{ (postgres.data_dir ~ " is the server's") | yaml_dquote }}:
  file.directory:
    - name: {{ postgres.data_dir | yaml_dquote }}
    - user: {{ postgres.user | yaml_dquote }}
    - group: {{ postgres.group | yaml_dquote }}
    - mode: "0700"
    - require:
      - sls: pgha.postgres.install
      - file: {{ (above ~ " has room for the data directory") | yaml_dquote }}

{{ ("Patroni is installed in " ~ patroni.venv) | yaml_dquote }}:
  pgha_patroni.environment:
    - require:
      - file: {{ (patroni.venv ~ " is Patroni's") | yaml_dquote }}

{#- What a person needs who works as this user: patronictl, psql, and whom they ask. #}
{#- In none of these paths is a character that means something to a shell: pgha_validate lets no other pass. #}
{%- set environment = [
  "# Written by Salt.",
  ". " ~ patroni.venv ~ "/bin/activate",
  'export PATH="$PATH:' ~ postgres.bin_dir ~ '"',
  "export PATRONICTL_CONFIG_FILE=" ~ patroni.config_dir ~ "/patroni.yml",
  "export PGHOST=" ~ postgres.socket_dir,
] %}
{{ ("The shell of " ~ postgres.user ~ " is told of Patroni's environment") | yaml_dquote }}:
  file.managed:
    - name: {{ (patroni.config_dir ~ "/environment.sh") | yaml_dquote }}
    - contents: {{ environment | json }}
    - user: {{ postgres.user | yaml_dquote }}
    - group: {{ postgres.group | yaml_dquote }}
    - mode: "0644"
    - require:
      - file: {{ (patroni.config_dir ~ " is Patroni's") | yaml_dquote }}

{{ (postgres.user ~ " has a profile of its own") | yaml_dquote }}:
  file.managed:
    - name: {{ ("~" ~ postgres.user ~ "/.profile") | yaml_dquote }}
    - replace: False
    - user: {{ postgres.user | yaml_dquote }}
    - group: {{ postgres.group | yaml_dquote }}
    - require:
      - sls: pgha.postgres.install

{{ (postgres.user ~ " works in Patroni's environment") | yaml_dquote }}:
  file.append:
    - name: {{ ("~" ~ postgres.user ~ "/.profile") | yaml_dquote }}
    - text: {{ "test ! -r %s/environment.sh || . %s/environment.sh" | format(patroni.config_dir, patroni.config_dir) | yaml_dquote }}
    - require:
      - file: {{ (postgres.user ~ " has a profile of its own") | yaml_dquote }}
