{#- Stops Patroni, and PostgreSQL with it, and removes what the formula put there. Never the data, nor the keys in Consul. -#}
{%- from "pgha/map.jinja" import pgha with context %}
{%- set patroni = pgha.patroni %}

Patroni is stopped and does not start again:
  service.dead:
    - name: patroni
    - enable: False

{#- /run/patroni has a password file. #}
{%- for path in ("/etc/systemd/system/patroni.service", "/etc/pgha/tls/postgres.pem", patroni.config_dir, patroni.venv,
                 "/run/patroni", "/run/pgha/patroni.started-with") %}

{{ path }} is gone:
  file.absent:
    - name: {{ path }}
    - require:
      - service: Patroni is stopped and does not start again
{%- endfor %}

{{ pgha.postgres.user }} works without Patroni's environment:
  file.line:
    - name: ~{{ pgha.postgres.user }}/.profile
    - mode: delete
    - match: {{ patroni.config_dir }}/environment.sh
    - onlyif: test -e ~{{ pgha.postgres.user }}/.profile
