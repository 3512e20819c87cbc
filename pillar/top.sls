# Who sees which inventory: the hosts that stand in it, and the master's own id (HOSTNAME_master) for the orchestration.
# One file for each database cluster keeps a minion's pillar as small with a hundred clusters as with one.
base:
  '*_master':
    - pgha.test-dcs
    - pgha.test
  'test-dcs*':
    - pgha.test-dcs
    - pgha.test
  'test-db*':
    - pgha.test-dcs
    - pgha.test
