{% set pgha = salt["pgha.settings"]() %}
{% if pgha.patroni.guard %}
include:
  - pgha.packages

nft is there, by which the guard refuses clients of an address that is elsewhere:
  pkg.installed:
    - name: nftables
    - install_recommends: False
{% endif %}
