# What the formula brings of its own: first of all, because the states after it are made of it. Only the kinds that there
# are: saltutil.sync_all asks the master for twenty, which takes six seconds on six hosts where this takes one.
{% set kinds = ("utils", "grains", "modules", "states") %}
{% if opts.get("test") %}
{# A dry run calls them as well, and states that bring them would only say so. #}
{% for kind in kinds %}
{% do salt["saltutil.sync_" ~ kind](saltenv=saltenv, refresh=loop.last) %}
{% endfor %}
{% endif %}
{% for kind in kinds %}

The formula's {{ kind }} are on this host:
  saltutil.sync_{{ kind }}:
    - saltenv: {{ saltenv | yaml_dquote }}
    - refresh: {{ loop.last }}
    # What follows in the same run sees them.
    - reload_modules: {{ loop.last }}
{% if opts.get("test") %}
{# In a run proper Salt hands this word on to the function, which does not know it. #}
    - force_reload_modules: {{ loop.last }}
{% endif %}
{% endfor %}
