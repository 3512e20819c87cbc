# Highstate: the same states as the orchestration's, by the role that the first run wrote into the grains.
base:
  'pgha:role:dcs':
    - match: grain
    - pgha.dcs
  'pgha:role:repository':
    - match: grain
    - pgha.repository
  'pgha:role:db':
    - match: grain
    - pgha.db
