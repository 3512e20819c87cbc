{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/guard/parts.jinja" import program, former, config, files, guard_absent %}
{% if pgha.patroni.guard %}
{# It may run before Patroni does: it acts only where it has heard Patroni say that this host leads. #}
{% set founded = pgha.cluster.name ~ " has been founded by " ~ pgha.cluster.founder.name %}
include:
  - pgha.guard.install
  - pgha.patroni.service

The guard is there:
  file.recurse:
    - name: {{ program | yaml_dquote }}
    - source: salt://pgha/guard/files/pgha-guard
    - user: root
    - group: root
    - dir_mode: '0755'
    - file_mode: '0644'
    - clean: True

The guard knows this member:
  file.serialize:
    - name: {{ config | yaml_dquote }}
    - dataset: {{ salt["pgha_guard.config"]() | json }}
    - serializer: json
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'

systemd has a unit of the guard:
  pgha_unit.written:
    - unit: pgha-guard.service
    - source: salt://pgha/guard/files/pgha-guard.service.jinja
    - context:
        cluster: {{ pgha.cluster.name | json }}
        program: {{ program | yaml_dquote }}
        config: {{ config | yaml_dquote }}
        files: {{ files | json }}
    - require:
      - file: The guard is there

systemd has read the unit of the guard:
  pgha_unit.read:
    - unit: pgha-guard.service
    - require:
      - pgha_unit: systemd has a unit of the guard

The guard runs, and does after a boot:
  service.running:
    - name: pgha-guard
    - enable: True
    - require:
      - pkg: nft is there, by which the guard refuses clients of an address that is elsewhere
      - pgha_unit: systemd has read the unit of the guard
{# Done while the first host founds the cluster, for which the others only wait. #}
{% if pgha.cluster.founder.id != pgha.id %}
    - require_in:
      - pgha_patroni: {{ founded | yaml_dquote }}
{% endif %}

Patroni of this host works by the timing that its guard is told:
  pgha_member.in_step:
    - require:
      - pgha_patroni: {{ ("The dynamic configuration of " ~ pgha.cluster.name ~ " is as declared") | yaml_dquote }}

{# A restart does no harm: the guard asks Patroni at once. #}
The guard works with its program and what it knows of now:
  pgha_unit.current:
    - unit: pgha-guard.service
    - files: {{ files | json }}
    - require:
      - file: The guard is there
      - file: The guard knows this member
      - service: The guard runs, and does after a boot
      - pgha_member: Patroni of this host works by the timing that its guard is told

Nothing of a former guard is left:
  file.absent:
    - name: {{ former | yaml_dquote }}
    - require:
      - pgha_unit: The guard works with its program and what it knows of now
{% else %}
{{ guard_absent() }}
{% endif %}
