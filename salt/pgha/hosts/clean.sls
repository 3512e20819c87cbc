The formula's names are no longer in /etc/hosts:
  pgha_hosts.absent:
    - name: /etc/hosts
