# What the formula noted on the host about the host, and the authorities that all services share.
The host has no grain of the formula any more:
  grains.absent:
    - name: pgha
    - destructive: True
    - force: True

The authorities of the datacenter are gone:
  pgha_clean.files:
    - path: /etc/pgha/tls
    - patterns: [ca.pem, ".ca.pem.*"]

The note of the secrets in use is gone:
  pgha_clean.files:
    - path: /etc/pgha
    - patterns: [secrets.json, ".secrets.json.*"]
    - require:
      - pgha_clean: The authorities of the datacenter are gone
