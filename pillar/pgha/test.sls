# A database cluster and its virtual IP. Everything else has a default: salt/pgha/defaults.yaml.
pgha:
  # vip-manager is installed once the SHA-256 of its release file is here; it has no default.
  # vip:
  #   hashes:
  #     4.0.0: …
  clusters:
    test:
      vip: 192.168.1.140/24
      hosts:
        test-db1: 192.168.1.141
        test-db2: 192.168.1.142
        test-db3: 192.168.1.143
