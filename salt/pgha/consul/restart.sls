# A turn of pgha.restart: on one host at a time.
Consul runs what is installed and configured:
  pgha_restart.consul:
    - failhard: True
