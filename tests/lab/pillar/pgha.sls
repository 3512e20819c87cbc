# The lab's cluster: the topology a user would write, and the lab's mirror and versions.
{%- import_json "parts.json" as parts %}
pgha:
  consul:
    version: 1.8.7
    url: {{ parts.mirror }}/consul/consul_{version}_linux_amd64.zip
    hashes: {{ parts["consul"] | json }}
  distributions:
    postgrespro-1c:
      repo:
        name: deb {{ parts.mirror }}/pgpro/1c/1c-{version}/debian bookworm main
        key_url: {{ parts.mirror }}/pgpro/1c/1c-{version}/keys/GPG-KEY-POSTGRESPRO
  postgres:
    # The tests' client, the only place from where the superuser may log in.
    superuser_networks: [198.51.100.1/32]
  # The hosts share the disk of the machine that runs the tests, and that may be a full one.
  preflight:
    warn_disk_percent: 1
  patroni:
    find_links: {{ parts.mirror }}/wheels/
  vip:
    version: 5.0.0
    url: {{ parts.mirror }}/vip-manager/vip-manager_{version}_Linux_x86_64.tar.gz
    hashes: {{ parts["vip-manager"] | json }}
  # No repository: tests that need one name it.
  backup:
    version: 2.60.0
    url: {{ parts.mirror }}/pgbackrest/pgbackrest_{version}.tar.gz
    hashes: {{ parts["pgbackrest"] | json }}
  datacenters:
    test-dcs-cluster:
      servers:
        test-dcs1: 198.51.100.11
        test-dcs2: 198.51.100.12
        test-dcs3: 198.51.100.13
  clusters:
    test:
      vip: 198.51.100.40/24
      hosts:
        test-db1: 198.51.100.21
        test-db2: 198.51.100.22
        test-db3: 198.51.100.23
