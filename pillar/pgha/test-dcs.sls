# Three Consul servers: the datacenter keeps the state of any number of database clusters.
pgha:
  datacenters:
    test-dcs-cluster:
      servers:
        test-dcs1: 192.168.1.181
        test-dcs2: 192.168.1.182
        test-dcs3: 192.168.1.183
