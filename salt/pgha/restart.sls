# The rolling restart: salt-run state.orchestrate pgha.restart
include:
  - pgha.orchestrate.restart
