{#- Directories and the virtual environment. The server's packages made the user that owns them. -#}
{%- from "pgha/map.jinja" import pgha with context %}
{%- set patroni, postgres = pgha.patroni, pgha.postgres %}
include:
  - pgha.postgres.install

{%- for path, mode in ((patroni.venv, "0755"), (patroni.log_dir, "0750")) %}

{{ path }} is Patroni's:
  file.directory:
    - name: {{ path }}
    - user: {{ postgres.user }}
    - group: {{ postgres.group }}
    - mode: "{{ mode }}"
    - makedirs: True
    - require:
      - sls: pgha.postgres.install
{%- endfor %}

{#- A Patroni that was started when its password file lay here goes on: it may make files, and none of root's is moved. #}
{{ patroni.config_dir }} is root's, and {{ postgres.group }} may read it:
  file.directory:
    - name: {{ patroni.config_dir }}
    - user: root
    - group: {{ postgres.group }}
    - mode: "{{ "1770" if salt["pgha_patroni.makes_files_beside_configuration"]() else "0750" }}"
    - makedirs: True
    - require:
      - sls: pgha.postgres.install

{%- set above = postgres.data_dir.rpartition("/")[0] or "/" %}

{#- Made when it is missing; a mount point, say, keeps its owner and mode. #}
{{ above }} has room for the data directory:
  file.directory:
    - name: {{ above }}
    - makedirs: True

{{ postgres.data_dir }} is the server's:
  pgha_postgres.data_directory_made:
    - name: {{ postgres.data_dir }}
    - require:
      - sls: pgha.postgres.install
      - file: {{ above }} has room for the data directory

Patroni is installed in {{ patroni.venv }}:
  pgha_patroni.environment:
    - require:
      - file: {{ patroni.venv }} is Patroni's

{#- What a person needs who works as this user: patronictl, psql, and whom they ask. #}
The shell of {{ postgres.user }} is told of Patroni's environment:
  file.managed:
    - name: {{ patroni.config_dir }}/environment.sh
    - contents: |
        # Written by Salt.
        . {{ patroni.venv }}/bin/activate
        export PATH="$PATH:{{ postgres.bin_dir }}"
        export PATRONICTL_CONFIG_FILE={{ patroni.config_dir }}/patroni.yml
        export PGHOST={{ postgres.socket_dir }}
    - user: {{ postgres.user }}
    - group: {{ postgres.group }}
    - mode: "0644"
    - require:
      - file: {{ patroni.config_dir }} is root's, and {{ postgres.group }} may read it

{{ postgres.user }} has a profile of its own:
  file.managed:
    - name: ~{{ postgres.user }}/.profile
    - replace: False
    - user: {{ postgres.user }}
    - group: {{ postgres.group }}
    - require:
      - sls: pgha.postgres.install

{{ postgres.user }} works in Patroni's environment:
  file.append:
    - name: ~{{ postgres.user }}/.profile
    - text: test ! -r {{ patroni.config_dir }}/environment.sh || . {{ patroni.config_dir }}/environment.sh
    - require:
      - file: {{ postgres.user }} has a profile of its own
