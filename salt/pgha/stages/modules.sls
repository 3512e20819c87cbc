# What the formula brings of its own: first of all, because the states after it are made of it. Only the kinds that
# there are: saltutil.sync_all asks the master for twenty, which takes six seconds on six hosts where this takes one.
{# A sync asks the master for each file, a host that has them all asks for none. The module is looked for as a file: to
   look for a function that is not there, Salt would import all modules, and the library as it was with them. #}
{% set module = opts["extension_modules"] ~ "/modules/pgha_library.py" %}
{% if salt["file.file_exists"](module) and salt["pgha_library.here"]() == pillar.get("pgha_run", {}).get("library") %}
The formula's own modules are on this host:
  test.nop: []
{% else %}
{% for kind in ("utils", "grains", "modules", "states") %}

The formula's {{ kind }} are on this host:
  saltutil.sync_{{ kind }}:
    - saltenv: {{ saltenv | yaml_dquote }}
    - refresh: {{ loop.last }}
    # What follows in the same run sees them.
    - reload_modules: {{ loop.last }}
{% endfor %}
{% endif %}
