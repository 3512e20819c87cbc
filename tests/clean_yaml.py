"""
The rules of .yamllint for what an SLS has become. This is no part of the renderer, because Salt imports a renderer anew
for each SLS that is shown, and most texts come many times.
"""

import functools
import json
from pathlib import Path

import yamllint.config
import yamllint.linter

RULES = Path(__file__).resolve().parents[1] / ".yamllint"
# Statements of Jinja leave empty lines, and a value may be as long as it is.
NOT_FOR_RENDERED = ("comments", "comments-indentation", "empty-lines", "line-length")


@functools.cache
def _config():
    return yamllint.config.YamlLintConfig(
        json.dumps({"extends": str(RULES), "rules": dict.fromkeys(NOT_FOR_RENDERED, "disable")})
    )


@functools.cache
def faults(text):
    """Return the faults of a rendered text, a list: number of the line, what is wrong, and the line."""
    lines = ["", *text.split("\n")]
    return [f"{one.line}: {one.message}: {lines[one.line]}" for one in yamllint.linter.run(text, _config())]
