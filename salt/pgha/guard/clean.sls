{% from "pgha/guard/parts.jinja" import guard_absent %}
{{ guard_absent() }}
