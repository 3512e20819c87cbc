{# The server's packages, its locales; its own service off for good, since Patroni starts it. #}
{% set pgha = salt["pgha.settings"]() %}
{% set postgres = pgha.postgres %}
{% set repository = salt["pgha_postgres.repository"]() %}
{% set installed = "PostgreSQL " ~ postgres.version ~ " is installed" %}
include:
  - pgha.packages

{% if repository %}
{% if repository.key_url %}

apt can read where the key of PostgreSQL's repository is:
  pgha_passage.made:
    - paths: [{{ (repository.key_file.rpartition("/")[0] or "/") | yaml_dquote }}]

The key of PostgreSQL's repository is known to apt:
  file.managed:
    - name: {{ repository.key_file | yaml_dquote }}
    - source: {{ repository.key_url | yaml_dquote }}
{% if postgres.repo.get("key_hash") %}
    - source_hash: {{ ("sha256=" ~ postgres.repo.key_hash) | yaml_dquote }}
{% else %}
    - skip_verify: True
{% endif %}
    - mode: "0644"
    - makedirs: True
    - dir_mode: "0755"
    - require:
      - pgha_passage: apt can read where the key of PostgreSQL's repository is
    - require_in:
      - pkgrepo: The repository of PostgreSQL is a source of apt
{% endif %}

The repository of PostgreSQL is a source of apt:
  pkgrepo.managed:
    - name: {{ repository.line | yaml_dquote }}
    - file: /etc/apt/sources.list.d/pgha-postgres.list
    - clean_file: True
    - aptkey: False
    - require_in:
      - pkg: {{ installed | yaml_dquote }}

{% else %}

{# Debian's own sources have it, or a person named it before: apt refuses one repository with two keys. #}
The repository of PostgreSQL is named by others:
  file.absent:
    - name: /etc/apt/sources.list.d/pgha-postgres.list
    - require_in:
      - pkg: {{ installed | yaml_dquote }}
{% endif %}

{% if postgres.get("createcluster") %}

Debian's packages create no cluster of their own:
  file.managed:
    - name: {{ postgres.createcluster | yaml_dquote }}
    - contents: |
        # Patroni creates the only cluster of this host.
        create_main_cluster = false
    - replace: False
    - mode: "0644"
    - makedirs: True
    - dir_mode: "0755"
    - require_in:
      - pkg: {{ installed | yaml_dquote }}
{% endif %}

{{ installed | yaml_dquote }}:
  pkg.installed:
    - pkgs: {{ (postgres.packages + postgres.host_packages) | unique | json }}
    - install_recommends: False

{% if pgha.tls.enabled %}

The installed PostgreSQL can speak TLS:
  pgha_postgres.speaks_tls:
    - require:
      - pkg: {{ installed | yaml_dquote }}
{% endif %}

{% for service in postgres.services %}

{{ ("The packages' own service " ~ service ~ " is off") | yaml_dquote }}:
  service.dead:
    - name: {{ service | yaml_dquote }}
    - enable: False
    - require:
      - pkg: {{ installed | yaml_dquote }}

{# Not masked: an update of a package that enables its service would fail, and apt with it. #}
{{ (service ~ " stays off beside Patroni, whoever enables it") | yaml_dquote }}:
  file.managed:
    - name: {{ ("/etc/systemd/system/" ~ service.removesuffix(".service") ~ ".service.d/pgha.conf") | yaml_dquote }}
    - contents: |
        # Written by Salt: an update may enable this service, which would take Patroni's port at the next boot.
        [Unit]
        ConditionPathExists=!/etc/systemd/system/patroni.service
    - user: root
    - group: root
    - mode: "0644"
    - makedirs: True
    - dir_mode: "0755"
    - require:
      - pkg: {{ installed | yaml_dquote }}

{{ ("systemd has read what keeps " ~ service ~ " off") | yaml_dquote }}:
  pgha_unit.read:
    - unit: {{ (service.removesuffix(".service") ~ ".service") | yaml_dquote }}
    - require:
      - file: {{ (service ~ " stays off beside Patroni, whoever enables it") | yaml_dquote }}
{% endfor %}

The locales of the database are there:
  pgha_postgres.locales_present:
    - locales: {{ postgres.locales | json }}
    - require:
      - pkg: {{ installed | yaml_dquote }}

{{ ("Port " ~ postgres.port ~ " belongs to Patroni's server") | yaml_dquote }}:
  pgha_postgres.port_free:
    - require:
      - pkg: {{ installed | yaml_dquote }}
{% for service in postgres.services %}
      - service: {{ ("The packages' own service " ~ service ~ " is off") | yaml_dquote }}
{% endfor %}
