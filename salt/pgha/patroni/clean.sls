{#- Stops Patroni, and PostgreSQL with it, and removes what the formula put there. Never the data, nor the keys in Consul. -#}
{%- from "pgha/map.jinja" import pgha with context %}
{%- set patroni = pgha.patroni %}

Patroni is stopped and does not start again:
  service.dead:
    - name: patroni
    - enable: False

{%- for path in ("/etc/systemd/system/patroni.service", "/etc/pgha/tls/postgres.pem", patroni.config_dir, patroni.venv) %}

{{ (path ~ " is gone") | yaml_dquote }}:
  file.absent:
    - name: {{ path | yaml_dquote }}
    - require:
      - service: Patroni is stopped and does not start again
{%- endfor %}

{{ (pgha.postgres.user ~ " works without Patroni's environment") | yaml_dquote }}:
  file.line:
    - name: {{ ("~" ~ pgha.postgres.user ~ "/.profile") | yaml_dquote }}
    - mode: delete
    - match: {{ (patroni.config_dir ~ "/environment.sh") | yaml_dquote }}
    - onlyif: {{ ("test -e ~" ~ pgha.postgres.user ~ "/.profile") | yaml_dquote }}
