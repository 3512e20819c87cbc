{% set pgha = salt["pgha.settings"]() %}

{% if pgha.hosts.manage %}

The names of all hosts and of the virtual IP are in /etc/hosts:
  pgha_hosts.present:
    - name: /etc/hosts
{% else %}

{# An SLS with nothing in it is an error to whoever requires it. #}
The names of all hosts are left to DNS:
  test.nop: []
{% endif %}
