{% set pgha = salt["pgha.settings"]() %}
{% from "pgha/macros.jinja" import released_binary with context %}
{% set consul = pgha.consul %}
# The group, the user, the directories and the binary of Consul (2.1 of the procedure).

The group of Consul exists:
  group.present:
    - name: {{ consul.group | yaml_dquote }}
    - system: True

The user of Consul exists:
  user.present:
    - name: {{ consul.user | yaml_dquote }}
    - gid: {{ consul.group | yaml_dquote }}
    - fullname: Consul DCS service
    - home: /var/lib/consul
    - createhome: False
    - shell: /usr/sbin/nologin
    - system: True
    - require:
      - group: The group of Consul exists

# 0750, not 775: the configuration holds the gossip key and a token, the data all tokens. The configuration is root's,
# so that the daemon cannot rewrite what it is told at its next start, and so is the directory above its data.
{% set owners = {
  consul.config_dir: "root",
  "/var/lib/consul": "root",
  consul.data_dir: consul.user,
  consul.log_dir: consul.user,
} %}

The ways to the directories of Consul are open to it:
  pgha_passage.made:
    - paths:
{% for path in owners %}
      - {{ (path.rpartition("/")[0] or "/") | yaml_dquote }}
{% endfor %}
{% for path, owner in owners.items() %}

{{ (path ~ " is a directory for Consul alone") | yaml_dquote }}:
  file.directory:
    - name: {{ path | yaml_dquote }}
    - user: {{ owner | yaml_dquote }}
    - group: {{ consul.group | yaml_dquote }}
    - mode: '0750'
    - require:
      - pgha_passage: The ways to the directories of Consul are open to it
      - user: The user of Consul exists
{% endfor %}
{{ released_binary("consul", consul) }}
