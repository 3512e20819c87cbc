{# patroni.yml, checked by Patroni before it replaces the old one; a running Patroni reads it, and is not restarted. #}
{% set pgha = salt["pgha.settings"]() %}
include:
  - pgha.patroni.install
{% if pgha.vip.manager == "callback" %}
  - pgha.vip.install

{# Before Patroni is told to rely on it. #}
{{ (pgha.postgres.user ~ " may move the virtual IP") | yaml_dquote }}:
  pgha_vip.callback_allowed:
    - require:
      - sls: pgha.patroni.install
      - sls: pgha.vip.install
    - require_in:
      - pgha_patroni: Patroni is configured
{% endif %}

{% set rule = "/etc/udev/rules.d/60-pgha-watchdog.rules" %}
{% set told = "if [ -c /dev/watchdog ]; then udevadm control --reload && "
   ~ "udevadm trigger --action=change --name-match=watchdog; fi" %}
{% if pgha.patroni.watchdog == "off" %}
{{ (pgha.postgres.user ~ " has no right to the watchdog") | yaml_dquote }}:
  file.absent:
    - name: {{ rule | yaml_dquote }}
{% else %}
{{ (pgha.postgres.user ~ " may use the watchdog") | yaml_dquote }}:
  file.managed:
    - name: {{ rule | yaml_dquote }}
    - contents:
      - "# Written by Salt (pgha); changes here are lost. Patroni opens the watchdog."
      - {{ ('KERNEL=="watchdog", OWNER="' ~ pgha.postgres.user ~ '", MODE="0600"') | yaml_dquote }}
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'
    - require:
      - sls: pgha.patroni.install
    - require_in:
      - pgha_patroni: Patroni is configured
  cmd.run:
    - name: {{ told | yaml_dquote }}
    - onchanges:
      - file: {{ rule | yaml_dquote }}
    - require_in:
      - pgha_patroni: Patroni is configured
{% endif %}

Patroni is configured:
  pgha_patroni.configured:
    - name: {{ (pgha.patroni.config_dir ~ "/patroni.yml") | yaml_dquote }}
    - require:
      - sls: pgha.patroni.install
{% if pgha.tls.enabled %}
      - pgha_tls: PostgreSQL and Patroni have the certificate of this host

PostgreSQL and Patroni have the certificate of this host:
  pgha_tls.installed:
    - service: postgres
    - require:
      - sls: pgha.patroni.install
{% endif %}
