{# Stops Patroni, and PostgreSQL with it, and removes what the formula put there. Never the data, nor the keys in
   Consul. #}
{% set pgha = salt["pgha.settings"]() %}
{% set patroni = pgha.patroni %}

{# Before anything of the host is stopped, also the guard: what is included before this SLS comes after this state. #}
PostgreSQL stops with Patroni:
  pgha_clean.possible:
    - order: first
    - failhard: True

Patroni is stopped and does not start again:
  pgha_unit.stopped:
    - unit: patroni.service
    - require:
      - pgha_clean: PostgreSQL stops with Patroni

{% set aside = patroni.venv.rpartition("/")[0] ~ "/." ~ patroni.venv.rpartition("/")[2] ~ ".build" %}

Nothing of Patroni is installed:
  file.absent:
    - names:
      - /etc/systemd/system/patroni.service
      - /etc/profile.d/pgha-patroni.sh
      - /etc/udev/rules.d/60-pgha-watchdog.rules
      - /etc/pgha/tls/postgres.pem
{# Before the next note: without that one, the note of a founding that is over means one that has begun. #}
      - /etc/pgha/restore.json
{# Whatever a person does with the data of a host that is no member any more. #}
      - /etc/pgha/member.json
{# It has a password file. #}
      - /run/patroni
      - /run/pgha/patroni.started-with
      - /run/pgha/patroni.reload-owed
      - /run/pgha/postgres.authorities-unread
{# What an interrupted build has left. #}
      - {{ aside | yaml_dquote }}
    - require:
      - pgha_unit: Patroni is stopped and does not start again

{# Somebody may have set directories in which there is more. #}
Patroni's virtual environment is gone:
  file.absent:
    - name: {{ patroni.venv | yaml_dquote }}
    - onlyif:
      - fun: file.file_exists
        path: {{ (patroni.venv ~ "/pyvenv.cfg") | yaml_dquote }}
    - require:
      - pgha_unit: Patroni is stopped and does not start again

Patroni is not configured:
  pgha_clean.files:
    - path: {{ patroni.config_dir | yaml_dquote }}
    - patterns: [patroni.yml, ".patroni.yml.*", "pgpass*", ".pgpass*", environment.sh]
    - require:
      - pgha_unit: Patroni is stopped and does not start again

systemd has forgotten Patroni:
  pgha_unit.read:
    - unit: patroni.service
    - require:
      - file: Nothing of Patroni is installed
