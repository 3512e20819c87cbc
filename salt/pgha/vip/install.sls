{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% from "pgha/vip/parts.jinja" import helper, callback, sudoers %}
include:
  - pgha.packages

{% if pgha.vip.manager == "vip-manager" %}
{{ released_binary("vip-manager", pgha.vip) }}

{% elif pgha.vip.manager == "callback" %}
{# Before Patroni is told of it. #}
sudo lets Patroni's user move an address:
  pkg.installed:
    - pkgs: [iproute2, sudo]

{# By the former helper: the new one knows nothing of that address. #}
No former virtual IP of the callback is here:
  pgha_vip.former_released: []

The helper that moves the virtual IP is there:
  file.managed:
    - name: {{ helper | yaml_dquote }}
    - source: salt://pgha/vip/files/pgha-vip.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0755'
    - context:
        vip: {{ pgha.cluster.vip | json }}
        interface: {{ pgha.vip.interface | json }}
        address: {{ pgha.address | json }}
    - require:
      - pgha_vip: No former virtual IP of the callback is here

Patroni's user may run the helper's commands and no others:
  file.managed:
    - name: {{ sudoers | yaml_dquote }}
    - source: salt://pgha/vip/files/sudoers.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0440'
    # A mistake in this directory locks everyone out of sudo.
    - check_cmd: /usr/sbin/visudo -cqf
    - context:
        user: {{ pgha.postgres.user | json }}
        helper: {{ helper | yaml_dquote }}
    - require:
      - pkg: sudo lets Patroni's user move an address
      - file: The helper that moves the virtual IP is there

Patroni's callback is there:
  file.managed:
    - name: {{ callback | yaml_dquote }}
    - source: salt://pgha/vip/files/pgha-vip-callback
    - user: root
    - group: root
    - mode: '0755'
    - require:
      - file: Patroni's user may run the helper's commands and no others
{% endif %}
