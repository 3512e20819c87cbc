needrestart is told nothing of the cluster's services:
  file.absent:
    - name: /etc/needrestart/conf.d/pgha.conf
