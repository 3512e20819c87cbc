# On all members, when none of them runs.
The data of now are kept aside:
  pgha_restore.aside:
    - restore: {{ pillar.get("pgha_run", {}).get("restore", {}).get("id") | json }}
