# The main job: salt-run state.orchestrate pgha
include:
  - pgha.orchestrate.deploy
