{% set pgha = salt["pgha.settings"]() %}
# For top.sls and for a person's targeting; secrets are never given by a grain.
{{ ("The role " ~ pgha.role ~ " is known as the grain pgha:role") | yaml_dquote }}:
  grains.present:
    - name: pgha:role
    - value: {{ pgha.role | yaml_dquote }}
