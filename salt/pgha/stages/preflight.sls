# On all hosts in one job, before anything is installed; it changes nothing.
Nothing stands in the way of what the pillar says:
  pgha_preflight.passed: []
