{#- Directories and the virtual environment, which is root's. The server's packages made the user of the directories. -#}
{%- from "pgha/map.jinja" import pgha with context %}
{%- set patroni, postgres = pgha.patroni, pgha.postgres %}
include:
  - pgha.postgres.install

{{ patroni.log_dir }} is Patroni's:
  file.directory:
    - name: {{ patroni.log_dir }}
    - user: {{ postgres.user }}
    - group: {{ postgres.group }}
    - mode: "0750"
    - makedirs: True
    - require:
      - sls: pgha.postgres.install

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
      - sls: pgha.postgres.install

{#- What a person needs who works as this user: patronictl, psql, and whom they ask. Nothing of it is in the user's home,
    where root does not write. #}
Login shells of {{ postgres.user }} know Patroni's environment:
  file.managed:
    - name: /etc/profile.d/pgha-patroni.sh
    - contents: |
        # Written by Salt. For one user only: Patroni's environment, PostgreSQL's programs, and where they find the cluster.
        if [ "$(id -un)" = {{ postgres.user }} ]; then
            . "{{ patroni.venv }}/bin/activate"
            export PATH="$PATH:{{ postgres.bin_dir }}"
            export PATRONICTL_CONFIG_FILE="{{ patroni.config_dir }}/patroni.yml"
            export PGHOST="{{ postgres.socket_dir }}"
        fi
    - user: root
    - group: root
    - mode: "0644"
    - makedirs: True
    - require:
      - pgha_patroni: Patroni is installed in {{ patroni.venv }}

{#- Where it was before; a profile that still asks for it does without. #}
{{ patroni.config_dir }}/environment.sh is gone:
  file.absent:
    - name: {{ patroni.config_dir }}/environment.sh
    - require:
      - file: Login shells of {{ postgres.user }} know Patroni's environment
