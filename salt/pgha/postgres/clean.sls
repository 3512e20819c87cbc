{# Takes away what the formula told apt. Packages and data directories stay: removing them is a person's decision. #}
{% set pgha = salt["pgha.settings"]() %}
{% set postgres = pgha.postgres %}
{% set repository = salt["pgha_postgres.repository"]() %}

The repository of PostgreSQL is no source of apt any more:
  file.absent:
    - name: /etc/apt/sources.list.d/pgha-postgres.list

{% if repository and repository.key_file %}

The key of PostgreSQL's repository is gone:
  file.absent:
    - name: {{ repository.key_file | yaml_dquote }}
{% endif %}

{% if postgres.services %}

The packages' own services may be started again:
  file.absent:
    - names:
{% for service in postgres.services %}
      - {{ ("/etc/systemd/system/" ~ service.removesuffix(".service") ~ ".service.d/pgha.conf") | yaml_dquote }}
{% endfor %}

{% for service in postgres.services %}

{{ ("systemd has read that " ~ service ~ " may") | yaml_dquote }}:
  pgha_unit.read:
    - unit: {{ (service.removesuffix(".service") ~ ".service") | yaml_dquote }}
    - require:
      - file: The packages' own services may be started again
{% endfor %}
{% endif %}
