# On all members, when none of them runs.
{% set restore = pillar.get("pgha_run", {}).get("restore", {}) %}
The data of now are kept aside, or removed where nobody wants them:
  pgha_restore.aside:
    - restore: {{ restore.get("id") | json }}
    - keep: {{ restore.get("keep", True) | json }}
