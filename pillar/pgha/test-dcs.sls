# Three Consul servers: the datacenter keeps the state of any number of database clusters.
pgha:
  datacenters:
    test-dcs-cluster:
      servers:
        test-dcs1: 192.0.2.181
        test-dcs2: 192.0.2.182
        test-dcs3: 192.0.2.183
