{# Before the first package: apt refuses everything until then. #}
No installation of packages was cut off:
  pgha_packages.settled:
    - order: first
