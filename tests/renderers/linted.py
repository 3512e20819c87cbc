"""
A renderer that stands between Jinja and YAML: what an SLS has become must be clean YAML by the rules of .yamllint. Of
two equal keys YAML would take the last one and say nothing.
"""

import functools
import json
from pathlib import Path

import yamllint.config
import yamllint.linter
from salt.exceptions import SaltRenderError

RULES = Path(__file__).resolve().parents[2] / ".yamllint"
# Statements of Jinja leave empty lines, and a value may be as long as it is.
NOT_FOR_RENDERED = ("comments", "comments-indentation", "empty-lines", "line-length")


def render(data, saltenv="base", sls="", **_):
    """Return the text as it came; raises SaltRenderError with each fault and its line."""
    text = data if isinstance(data, str) else data.read()
    if found := _faults(text):
        raise SaltRenderError(f"{sls} is no clean YAML when rendered:\n" + "\n".join(found))
    return text


@functools.cache
def _config():
    return yamllint.config.YamlLintConfig(
        json.dumps({"extends": str(RULES), "rules": dict.fromkeys(NOT_FOR_RENDERED, "disable")})
    )


@functools.cache
def _faults(text):
    lines = ["", *text.split("\n")]
    return [f"{one.line}: {one.message}: {lines[one.line]}" for one in yamllint.linter.run(text, _config())]
