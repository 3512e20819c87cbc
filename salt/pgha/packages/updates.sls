{# Included before all that installs a package, since needrestart looks after each. Where it comes later, the file is
   there. #}
Updates of libraries restart no service of the cluster:
  file.managed:
    - name: /etc/needrestart/conf.d/pgha.conf
    - source: salt://pgha/packages/files/needrestart.conf
    - user: root
    - group: root
    - mode: "0644"
    - makedirs: True
    - dir_mode: "0755"
